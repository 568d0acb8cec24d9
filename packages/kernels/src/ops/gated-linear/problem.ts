import type { RecurrenceOp } from '../../recurrence-op.js';
import { documentStarts, type RecurrenceCheck, randomNormal, randomUniform } from '../../testing/index.js';
import { type DecayKind, type GatedLinearInputs, gatedLinear } from './index.js';
import { type JoinedHeads, joinedLinear } from './joined.js';

// What the tests of this op, on CPU and GPU, are made of.

export interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  /** Groups of heads that share q and k; default H. */
  readonly G?: number;
  readonly K: number;
  readonly V: number;
  /** Range of the log decays. */
  readonly gates: readonly [number, number];
  /** Tokens at which a document starts, in every batch row b shifted by b. */
  readonly starts?: readonly number[];
}

export interface Kind {
  readonly decay: DecayKind;
  readonly decayOn?: 'key' | 'value';
  readonly read?: 'exclusive';
}

/** Everything that `checkRecurrence` wants to know of one kind at one shape; `seed` makes its inputs. */
export function problem(kind: Kind, shape: Case, seed: number): RecurrenceCheck<GatedLinearInputs> {
  const { B, T, H, G = H, K, V, gates, starts } = shape;
  const op = opOf(kind);
  const gateShape = shapeOfGates(kind, shape);
  const numGates = gateShape.reduce((a, b) => a * b, 1);
  const role = kind.decay === 'fixed-scalar' ? 'fixed' : 'token';
  const g = { values: randomUniform(numGates, 4 + seed, ...gates), shape: gateShape, role } as const;
  return {
    name: `${op.name} B=${B} T=${T} H=${H} G=${G} K=${K} V=${V} gates ${gates}${starts ? ', packed' : ''}`,
    op,
    inputs: {
      q: normal([B, T, G, K], 1 + seed),
      k: normal([B, T, G, K], 2 + seed),
      v: normal([B, T, H, V], 3 + seed),
      g: kind.decay === 'identity' ? null : g,
      ...(kind.read && { u: normal([H, K], 6 + seed, 'shared') }),
    },
    resets: documentStarts(shape.B, shape.T, shape.starts),
  };
}

/** The same of joined heads, without a decay. */
export function joinedProblem(shape: Omit<Case, 'gates'>, seed: number): RecurrenceCheck<JoinedHeads> {
  const { B, T, H, K, V, starts } = shape;
  return {
    name: `${joinedLinear.name} B=${B} T=${T} H=${H} K=${K} V=${V}${starts ? ', packed' : ''}`,
    op: joinedLinear,
    inputs: { qkv: normal([B, T, 2 + V / K, H, K], 1 + seed) },
    resets: documentStarts(shape.B, shape.T, shape.starts),
  };
}

/** The op of one kind. */
export function opOf({ decay, decayOn, read }: Kind): RecurrenceOp<GatedLinearInputs> {
  return read ? gatedLinear(decay, { read }) : gatedLinear(decay, decayOn ? { decayOn } : {});
}

function shapeOfGates({ decay, decayOn }: Kind, { B, T, H, K, V }: Case): number[] {
  if (decay === 'fixed-scalar') return [H];
  return decay === 'scalar' ? [B, T, H] : [B, T, H, decayOn === 'value' ? V : K];
}

function normal(shape: readonly number[], seed: number, role: 'token' | 'shared' = 'token') {
  const size = shape.reduce((a, b) => a * b, 1);
  return { values: randomNormal(size, seed), shape, role };
}
