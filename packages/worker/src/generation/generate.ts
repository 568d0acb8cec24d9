import { type Device, fromArray, LongscanError, linear, type Tensor } from '@longscan/kernels';
import { readManifest } from '../checkpoint/index.js';
import { CarriedContexts } from '../model/layer-context.js';
import { loadLayers } from '../model/load-layers.js';
import { createModel, type Model, parameterSpecs } from '../model/model.js';
import { Parameters } from '../model/parameters.js';
import { openDevice } from '../open-device.js';
import type { RankContext } from '../rank-context.js';
import { restore } from '../training/train-state.js';
import { sampler } from './sample.js';

/** The `generate` task: continues a text, byte by byte, in recurrent form. */
export async function runGenerate(context: RankContext): Promise<void> {
  const { task, layerModules } = context.assignment;
  if (task.kind !== 'generate') throw new TypeError(`not a generate task: ${task.kind}`);
  const { manifest } = await readManifest(task.checkpoint);
  const spec = manifest.jobSpec.model;
  if (spec.objective === 'masked') throw refuseMasked(task.checkpoint);
  const layers = await loadLayers(spec, layerModules);
  const device = openDevice({ kind: task.device, share: false }, context.env);
  try {
    const precision = task.device === 'cpu' ? 'f32' : spec.precision;
    const parameters = new Parameters(device, parameterSpecs(spec, layers), { precision });
    const model = createModel(spec, layers, parameters);
    await restore(task.checkpoint, parameters, null);
    const prompt = Buffer.from(task.prompt === '' ? '\n' : task.prompt);
    const choose = sampler(task.temperature, task.seed);
    const bytes = await continueText(device, model, prompt, task.numTokens, choose);
    const text = Buffer.from(bytes).toString();
    context.control.report({ type: 'done', result: { text } });
  } finally {
    device.close();
  }
}

/** A model that finds hidden tokens from both sides knows nothing of the token after the last. */
function refuseMasked(checkpoint: string): LongscanError {
  return new LongscanError({
    code: 'E-OBJECTIVE',
    where: `checkpoint ${checkpoint}`,
    found: 'a model trained with model.objective = "masked", which reads text in both directions',
    expected: 'one that continues a text',
    fix: 'generate from a checkpoint of a job with model.objective = "causal"',
    exitCode: 2,
  });
}

/** Tokens of the prompt that go through the model at once: memory is bound by this, not by the prompt. */
const promptPiece = 4096;

/**
 * `numTokens` tokens after the prompt (at least one token long). The prompt goes through in chunk form, piece by piece,
 * then one token at a time; memory grows with neither.
 */
export async function continueText(
  device: Device,
  model: Model,
  prompt: Uint8Array,
  numTokens: number,
  choose: (logits: Float64Array) => number,
): Promise<number[]> {
  const contexts = new CarriedContexts();
  const feed = async (tokens: ArrayLike<number>): Promise<Float64Array> => {
    const logits = device.scope(() => lastLogits(device, model, tokens, contexts));
    const values = await logits.readNumbers();
    logits.release();
    return values;
  };
  let logits: Float64Array = new Float64Array();
  for (let start = 0; start < prompt.length; start += promptPiece) {
    logits = await feed(prompt.subarray(start, start + promptPiece));
  }
  const generated: number[] = [];
  while (generated.length < numTokens) {
    const token = choose(logits);
    generated.push(token);
    if (generated.length < numTokens) logits = await feed([token]);
  }
  contexts.release();
  return generated;
}

/** Logits [1, vocab] of the token that follows. */
function lastLogits(
  device: Device,
  model: Model,
  tokens: ArrayLike<number>,
  contexts: CarriedContexts,
): Tensor {
  const hidden = model.forward(fromArray(device, tokens, [1, tokens.length], 'i32'), contexts);
  const D = hidden.dim(-1);
  const last = hidden.view([1, D], (tokens.length - 1) * D);
  return linear({ x: last, weight: model.head, bias: null });
}
