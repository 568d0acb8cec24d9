import { readFileSync } from 'node:fs';
import type { BenchOp } from '@longscan/worker/protocol';
import { z } from 'zod';
import { describeReadError } from './spec/read-document.js';
import { usage } from './usage.js';

/** Median, 5th and 95th percentile, in milliseconds. */
const times = z.tuple([z.number(), z.number(), z.number()]);
const schema = z.object({
  machine: z.object({
    gpu: z.string(),
    torch: z.string(),
    triton: z.string(),
    fla: z.string().nullable(),
    refusalLifted: z.boolean(),
  }),
  rows: z.array(
    z.object({
      ...{ op: z.string(), T: z.number(), H: z.number(), K: z.number(), V: z.number() },
      peer: z
        .object({ forward: times, both: times, graph: times, peakBytes: z.number() })
        .partial()
        .optional(),
    }),
  ),
});

/** What `scripts/peers/bench_kernels.py` found for other libraries. */
export type PeerTimes = z.infer<typeof schema>;

/** What the peer's script calls them. */
const peerOps: Readonly<Partial<Record<BenchOp, string>>> = {
  'linear-attention': 'linear',
  lightning: 'fixed',
  'simple-gla': 'simple_gla',
  gla: 'gla',
  rwkv6: 'rwkv6',
  deltanet: 'delta',
  'gated-deltanet': 'gated_delta',
  kda: 'kda',
  'gated-deltaproduct': 'delta_product',
  comba: 'comba',
  rwkv7: 'rwkv7',
  hgrn: 'hgrn',
  'short-convolution': 'conv',
};

/** @throws LongscanError E-CLI-USAGE if the file is not what `scripts/peers/bench_kernels.py` writes. */
export function readPeerTimes(file: string): PeerTimes {
  const wrong = (found: string) =>
    usage(
      `--beside ${file}`,
      found,
      'kernels.json as scripts/peers/bench_kernels.py writes it',
      'name a file that this script has written',
    );
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    // What is no JSON is not shown: it may be anything.
    throw wrong(error instanceof SyntaxError ? 'no JSON' : describeReadError(error));
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw wrong(`${path.join('.')}: ${message}`);
}

/** A measurement of ours. */
export interface OwnTimes {
  readonly op: string;
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
  readonly dtype: string;
  readonly pass: 'forward' | 'both';
  readonly medianMs: number;
  readonly graphMs: number | null;
}

/** Ours over theirs at the same sizes; null where they have none. */
export interface PeerRatios {
  readonly peerMs: number | null;
  readonly ratio: number | null;
  /** Both passes as CUDA graphs. */
  readonly peerGraphMs: number | null;
  readonly graphRatio: number | null;
}

/** The peer ran one sequence, in bf16. */
export function ratiosOf(own: OwnTimes, { rows }: PeerTimes): PeerRatios {
  const comparable = own.B === 1 && own.dtype === 'bf16';
  const row = rows.find(
    ({ op, T, H, K, V }) =>
      op === peerOps[own.op as BenchOp] && T === own.T && H === own.H && K === own.K && V === own.V,
  );
  const peer = comparable ? row?.peer : undefined;
  const peerMs = peer?.[own.pass]?.[0] ?? null;
  const peerGraphMs = (own.pass === 'both' && peer?.graph?.[0]) || null;
  const over = (ours: number | null, theirs: number | null) => (ours && theirs ? ours / theirs : null);
  return {
    peerMs,
    ratio: over(own.medianMs, peerMs),
    peerGraphMs,
    graphRatio: over(own.graphMs, peerGraphMs),
  };
}

/** What was compared with, in words. */
export function describePeer({ machine }: PeerTimes): string {
  const { gpu, torch, triton, fla, refusalLifted } = machine;
  const name = fla === null ? '' : `flash-linear-attention ${fla}, `;
  const lifted = refusalLifted
    ? '; it refuses some gated backward passes with this Triton, which computes them wrongly, and was made to run them'
    : '';
  return `peer: ${name}PyTorch ${torch}, Triton ${triton} on ${gpu}, in another run${lifted}`;
}
