import type { OpCost } from './compute-costs.js';
import type { CostsWithOrigin } from './costs-with-origin.js';
import { cpu } from './cpu-preset.js';

/** Rates of a GPU's kernels as they are in a training step. */
interface GpuRates {
  readonly name: string;
  /** Dense bf16 products of layers. */
  readonly productFlops: number;
  /** What recurrences and softmax attention reach on tensor cores. */
  readonly recurrenceFlops: number;
  readonly bytesPerSecond: number;
  readonly launchS: number;
  readonly assumptions: string;
}

/** What is limited by products. */
const products = ['linear', 'linearJoined']
  .flatMap((op) => [`${op}Forward`, `${op}InputGradient`, `${op}WeightGradient`])
  .concat('linearSwigluForward', 'linearSwigluBackward', 'crossEntropyForward');

function gpu({
  name,
  productFlops,
  recurrenceFlops,
  bytesPerSecond,
  launchS,
  ...rest
}: GpuRates): CostsWithOrigin {
  const product: OpCost = { launchS, secondsPerByte: 0, secondsPerFlop: 1 / productFlops };
  return {
    name,
    ops: Object.fromEntries(products.map((op) => [op, product])),
    other: { launchS, secondsPerByte: 1 / bytesPerSecond, secondsPerFlop: 1 / recurrenceFlops },
    ranksAtOnce: null,
    slowdown: [1],
    ...rest,
  };
}

/** By the name that `--compute` calls them. */
export const presets = {
  cpu,
  h200: gpu({
    name: 'H200 (rates assumed)',
    productFlops: 640e12,
    recurrenceFlops: 300e12,
    bytesPerSecond: 4.2e12,
    launchS: 3e-6,
    assumptions:
      'products at 640 TFLOP/s and memory at 4.2 TB/s, as measured on one H200 (docs/benchmarks), 300 TFLOP/s in recurrences and 3 µs a launch',
  }),
  h100: gpu({
    name: 'H100 (rates assumed)',
    productFlops: 640e12,
    recurrenceFlops: 300e12,
    bytesPerSecond: 2.9e12,
    launchS: 3e-6,
    assumptions:
      "an H200's rates with memory slower as the data sheets have it (3.35 of 4.8 TB/s); nothing of it was measured",
  }),
} as const satisfies Record<string, CostsWithOrigin>;

type PresetName = keyof typeof presets;

export const presetNames = Object.keys(presets) as readonly PresetName[];

export function isPreset(name: string): name is PresetName {
  return Object.hasOwn(presets, name);
}
