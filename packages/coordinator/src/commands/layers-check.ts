import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { z } from 'zod';
import { formatSeconds } from '../format.js';
import { isLayerPath } from '../spec/resolve-layers.js';
import { listUnits } from '../units.js';
import { defineCommand } from './command.js';
import { interruptible } from './interruptible.js';

const resultSchema = z.object({
  layer: z.string(),
  results: z.array(
    z.object({ check: z.string(), passed: z.boolean(), detail: z.string().nullable(), ms: z.number() }),
  ),
});

/** A layer that breaks a rule is wrong input, as a wrong job file is. */
const failedExitCode = 2;

export default defineCommand({
  name: 'layers check',
  summary: 'run the conformance suite on one layer',
  positionals: { file: { type: 'string', demandOption: true, describe: 'layer file, or name of a layer' } },
  options: {},
  example: 'layers check ./my-layer.ts',
  async run(args, terminal) {
    const file = findLayer(args.file);
    const { runTask } = await import('../run-task.js');
    const result = await interruptible((signal) => runTask({ kind: 'layers-check', file }, { signal }));
    const { layer, results } = resultSchema.parse(result);
    const numFailed = results.filter(({ passed }) => !passed).length;
    if (args.json) terminal.printJson({ layer, numFailed, results });
    else {
      for (const { check, passed, detail, ms } of results) {
        terminal.print(`${passed ? 'ok  ' : 'FAIL'} ${check} (${formatSeconds(ms / 1000)})`);
        if (detail !== null) terminal.print(`     ${detail.replaceAll('\n', '\n     ')}`);
      }
      terminal.print(`${layer}: ${results.length - numFailed} passed, ${numFailed} failed`);
    }
    return numFailed === 0 ? 0 : failedExitCode;
  },
});

/** A layer's name, or the absolute path of a file that exists. */
function findLayer(given: string): string {
  if (!isLayerPath(given) && listUnits('layers').includes(given)) return given;
  const file = resolve(given);
  const isThere = existsSync(file);
  if (isThere && !statSync(file).isDirectory()) return file;
  throw new LongscanError({
    code: 'E-PLUGIN',
    where: given,
    found: isThere ? 'a folder' : 'no such file',
    expected: `a layer file, or one of ${listUnits('layers').join(', ')}`,
    fix: 'longscan layers new FILE writes one to start from',
    exitCode: 2,
  });
}
