import type { OpCost } from './compute-costs.js';
import type { CostsWithOrigin } from './costs-with-origin.js';

/**
 * A rank with one thread on a virtual machine with 2 cores of an AMD EPYC, f32: written by `longscan bench step --save`
 * (docs/benchmarks/cpu-compute-costs_2-core-epyc_2026-11.md) of a model of 8 layers of width 256: gla, lightning,
 * gated-deltanet, mamba2, rwkv7, hgrn2, mlstm, softmax-attention. The slowdown is that of examples/moby-dick by the same
 * command, where the wider model's ranks slowed each other down by 1.40; so is what the host takes to enqueue.
 */
export const cpu: CostsWithOrigin = {
  name: 'AMD EPYC, 1 thread a rank',
  ops: {
    activationBackward: cost(7.21e-7, 5.41e-11, 0),
    activationForward: cost(8.3e-7, 6.44e-11, 0),
    adamwUpdate: cost(0, 0, 3.83e-11),
    addForward: cost(7.08e-6, 0, 1.01e-9),
    affine: cost(9.23e-6, 0, 1.87e-10),
    attentionBackward: cost(0, 0, 1.55e-11),
    attentionForward: cost(8.67e-5, 0, 2.02e-11),
    axpy: cost(0, 2.67e-11, 0),
    blockLinearForward: cost(0, 0, 1.55e-10),
    blockLinearInputGrad: cost(7.13e-6, 0, 1.89e-10),
    blockLinearWeightGrad: cost(0, 0, 2.84e-10),
    broadcastAdd: cost(7.91e-6, 4.16e-11, 0),
    broadcastMultiply: cost(8.61e-6, 4.55e-11, 0),
    broadcastReduce: cost(0, 0, 1.98e-10),
    causalConvBackward: cost(1.44e-5, 1.55e-10, 0),
    causalConvForward: cost(2.16e-5, 9.09e-11, 0),
    clipFactor: cost(1.33e-6, 0, 0),
    copyColumns: cost(0, 3.59e-11, 0),
    crossEntropyForward: cost(0, 9.89e-11, 9.21e-12),
    deltaRuleBackward: cost(0, 8.95e-10, 2.2e-12),
    deltaRuleForward: cost(0, 5.2e-10, 0),
    documentPositions: cost(1.1e-6, 1.84e-10, 0),
    embeddingForward: cost(2.55e-5, 5.13e-11, 0),
    embeddingGradient: cost(0, 3.97e-11, 0),
    fill: cost(5.78e-7, 1.39e-10, 0),
    gatedLinearSweep: cost(0, 4.33e-10, 0),
    gatedLinearWriteGrad: cost(0, 4.4e-10, 0),
    gatedNormBackward: cost(1.9e-5, 5.9e-11, 0),
    gatedNormForward: cost(0, 5.74e-11, 0),
    layerNormBackward: cost(1.17e-5, 4.36e-11, 0),
    layerNormForward: cost(2.44e-6, 4.77e-11, 0),
    linearForward: cost(0, 7.74e-11, 8.72e-12),
    linearInputGradient: cost(0, 4.15e-11, 8.98e-12),
    linearWeightGradient: cost(0, 5.26e-11, 8.78e-12),
    mlstmBackward: cost(0, 6.07e-10, 1.35e-13),
    mlstmForward: cost(0, 3.7e-10, 0),
    multiply: cost(2.3e-5, 3.84e-11, 0),
    rmsNormBackward: cost(2.42e-6, 4.36e-11, 0),
    rmsNormForward: cost(0, 4.26e-11, 0),
    rotary: cost(2.95e-5, 0, 1.57e-10),
    sumOfSquares: cost(0, 0, 6.15e-11),
    sumRepeats: cost(0, 4.82e-11, 0),
    sumRows: cost(0, 4.31e-11, 0),
    swapAxes: cost(1e-6, 3e-10, 0),
    swigluBackward: cost(6.13e-5, 3.71e-11, 0),
    swigluForward: cost(2.27e-6, 4.15e-11, 0),
    tensorWrite: cost(1.47e-6, 2.23e-10, 0),
    tokenShiftBackward: cost(1.9e-5, 2.82e-11, 0),
    tokenShiftForward: cost(1.18e-5, 3.97e-11, 0),
  },
  other: cost(1.26e-6, 3.82e-11, 1.24e-11),
  ranksAtOnce: 2,
  slowdown: [1, 1.0545],
  enqueueS: 4.86e-5,
  measured: {
    date: '2026-11-29T09:08:14.244Z',
    machine: { host: null, cpu: 'AMD EPYC', cores: 2, device: 'cpu' },
  },
};

/** Seconds: of a launch, per byte, per FLOP. */
function cost(launchS: number, secondsPerByte: number, secondsPerFlop: number): OpCost {
  return { launchS, secondsPerByte, secondsPerFlop };
}
