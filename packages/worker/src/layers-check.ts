import { basename, extname, isAbsolute } from 'node:path';
import { checkLayer } from './conformance/layer-suite.js';
import { importLayer } from './model/load-layers.js';
import type { RankContext } from './rank-context.js';

/**
 * The `layers-check` task: the conformance suite on one layer. Failed checks are results, not errors.
 * @throws LongscanError E-PLUGIN if there is no layer to check, and what its `create` throws
 */
export async function runLayersCheck({ assignment, control, log }: RankContext): Promise<void> {
  const { task, layerModules } = assignment;
  if (task.kind !== 'layers-check') throw new TypeError(`not a layers-check task: ${task.kind}`);
  const { file } = task;
  const entry = isAbsolute(file) ? { use: basename(file, extname(file)), file } : { use: file, file: null };
  const layer = await importLayer(entry, layerModules);
  const results = await checkLayer(layer);
  const failed = results.filter(({ passed }) => !passed);
  for (const { check, detail } of failed) log(`${layer.name}, ${check}: ${detail}`);
  log(`${layer.name}: ${results.length - failed.length} checks passed, ${failed.length} failed`);
  control.report({ type: 'done', result: { layer: layer.name, results } });
}
