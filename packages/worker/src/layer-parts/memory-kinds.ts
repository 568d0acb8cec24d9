import {
  activation,
  deltaRule,
  gatedLinear,
  l2Norm,
  linear,
  type RecurrenceInputs,
  type RecurrenceOp,
  reshape,
  type Tensor,
} from '@longscan/kernels';
import type { ParameterDeclarer } from '../layer.js';
import { decayGate, logUniform } from './decay-gate.js';
import { lowRank } from './low-rank.js';

/** N memories of H heads with keys of K channels each. */
export interface MemorySizes {
  readonly N: number;
  readonly H: number;
  readonly K: number;
}

/** A recurrence, as one kind of memory runs it. */
export interface MemoryKind {
  readonly op: RecurrenceOp;
  /** Done to q and k [B, T, .., K] before anything else. */
  readonly normalize: (keys: Tensor) => Tensor;
  /**
   * What the recurrence takes beside q, k and v, for heads [B, T, N·H, ..], memory after memory. `only` lets through what
   * goes to a memory; elsewhere it gives 0.
   */
  readonly gates: (x: Tensor, only: (gates: Tensor) => Tensor) => RecurrenceInputs;
}

const gla = gatedLinear('diagonal');
const simpleGla = gatedLinear('scalar');
const gatedDelta = deltaRule({ gate: 'scalar' });

export const memoryKinds = ['gated-deltanet', 'gla', 'simple-gla'] as const;
export type MemoryKindName = (typeof memoryKinds)[number];

/** Declares what the gates of a kind of memory need. */
export function memoryKind(name: MemoryKindName, param: ParameterDeclarer, sizes: MemorySizes): MemoryKind {
  switch (name) {
    case 'gla':
      return glaMemory(param, sizes);
    case 'simple-gla':
      return { op: simpleGla, normalize: asIs, gates: scalarDecay(param, sizes) };
    case 'gated-deltanet':
      return deltaMemory(param, sizes);
  }
}

function asIs(x: Tensor): Tensor {
  return x;
}

/** Mamba-2's decay per head; its rates and steps are the same in all memories, its projection is not. */
function scalarDecay(param: ParameterDeclarer, { N, H }: MemorySizes): MemoryKind['gates'] {
  const wa = param.projection('a', N * H, param.dModel);
  const decay = decayGate(param, { numHeads: H, rates: logUniform(0, 16) });
  return (x, only) => {
    const [B, T] = x.shape as [number, number, number];
    const logits = reshape(linear({ x, weight: wa, bias: null }), [B, T * N, H]);
    return { g: only(reshape(decay(logits), [B, T, N * H])) };
  };
}

function deltaMemory(param: ParameterDeclarer, sizes: MemorySizes): MemoryKind {
  const decay = scalarDecay(param, sizes);
  const wb = param.projection('b', sizes.N * sizes.H, param.dModel);
  return {
    op: gatedDelta,
    normalize: (keys) => l2Norm(keys),
    gates: (x, only) => ({
      ...decay(x, only),
      beta: activation('sigmoid', linear({ x, weight: wb, bias: null }), 1, { wide: true }),
      b: null,
      e: null,
    }),
  };
}

/** GLA's decay per key channel, of rank 16 as there. */
function glaMemory(param: ParameterDeclarer, { N, H, K }: MemorySizes): MemoryKind {
  const logits = lowRank(param, 'gate', { out: N * H * K, rank: 16, bias: { constant: 0 } });
  return {
    op: gla,
    normalize: asIs,
    gates: (x, only) => {
      const [B, T] = x.shape as [number, number, number];
      const g = activation('log-sigmoid', logits(x), 1 / 16, { wide: true });
      return { g: only(reshape(g, [B, T, N * H, K])) };
    },
  };
}
