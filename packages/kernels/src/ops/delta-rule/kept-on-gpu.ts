import type { KeptOnGpu } from '../../recurrence-parts.js';
import { bytesOfParts } from '../../workspace-parts.js';
import type { DeltaErase, DeltaGate, DeltaRuleInputs } from './inputs.js';

// What kernels for GPUs keep from the forward to the backward pass, in bytes. It is allocated by these functions, and the
// kernels take no other size: the chunkwise ones lay it out in chunkwise/kept.h and chunkwise/cut.h, those of two writes in dplr/kept.h.

/** Tokens of a chunk. */
const C = 64;
/** `wantedMultiprocessors` of cuda/segments.h. */
const multiprocessors = 132;

type Heads = Pick<DeltaRuleInputs, 'k' | 'v'>;

/** A kind of the recurrence: its gate, what erases, and whether queries read keys. */
export interface DeltaKind {
  readonly gate: DeltaGate;
  readonly erase: DeltaErase;
  readonly isReadByKey: boolean;
}

/** Whether the chunkwise kernels know it, as `cuda.h` says, or `dplr/dplr.h`. */
export function isChunkwise(kind: DeltaKind, { q, v }: DeltaRuleInputs): boolean {
  const isHeadSize = (size: number, most: number) => size % 8 === 0 && size <= most;
  const [K, V] = isOfTwoWrites(kind) ? [128, 256] : [256, 512];
  return kind.isReadByKey && q.dtype === 'bf16' && isHeadSize(q.dim(3), K) && isHeadSize(v.dim(-1), V);
}

/**
 * Whether it is `dplr/`'s, which writes what is erased as a row of its own. Keys that erase of their own do not need that where the
 * decay is no vector: to the chunkwise kernels they are other rows of the same square.
 */
export function isOfTwoWrites({ gate, erase }: DeltaKind): boolean {
  return erase === 'dplr' || (erase === 'own' && gate === 'diagonal');
}

export function keptOnGpu(kind: DeltaKind): KeptOnGpu<DeltaRuleInputs> {
  return (_call, inputs, _resets, isAlone) => {
    if (!isChunkwise(kind, inputs)) return { checkpoints: keptOfRows(inputs) };
    if (isOfTwoWrites(kind)) return { checkpoints: keptOfDplrChunks(inputs) };
    const kept: Record<string, number> = { checkpoints: keptOfChunks(inputs, kind.gate === 'diagonal') };
    if (!isAlone) kept.segments = keptOfSegments(inputs);
    return kept;
  };
}

/** What the chunks of a slice are by themselves, the states before them, and room for what segments of it do. */
export function keptOfChunks({ k, v }: Heads, hasGateOfChannels: boolean): number {
  const [B, T, H, K, V] = sizesOf({ k, v });
  const chunks = B * H * Math.ceil(T / C);
  const [rows, keys] = [chunks * C, B * T * H * K];
  const ofGate = hasGateOfChannels ? [2 * keys, 2 * keys, 4 * chunks * K] : [4 * rows];
  const pairs = [2 * rows * C, 2 * rows * C];
  const ofTokens = [4 * rows, 2 * rows * K, 2 * rows * V];
  const effects = numSegments({ k, v }) > 1 ? [keptOfSegments({ k, v })] : [];
  const counts = 4 * (chunks + B * H + 3);
  return bytesOfParts([...pairs, ...ofGate, ...ofTokens, 2 * chunks * K * V, ...effects, counts]);
}

/** The same of chunks with two writes: `DplrKept`. */
export function keptOfDplrChunks({ k, v }: Heads): number {
  const [B, T, H, K, V] = sizesOf({ k, v });
  const chunks = B * H * Math.ceil(T / C);
  const rows = chunks * C;
  const [keys, values] = [K <= 64 ? 64 : 128, 64 * Math.ceil(V / 64)];
  const ofKeys = Array<number>(4).fill(2 * rows * keys);
  const squares = Array<number>(4).fill(2 * rows * C);
  const ofTiles = [2 * rows * values, 2 * chunks * values * keys];
  return bytesOfParts([...ofKeys, ...squares, ...ofTiles, 4 * chunks * keys]);
}

/** What the segments of a slice do to a state: E and M of each, and whether a document starts there. */
export function keptOfSegments(heads: Heads): number {
  const [B, , H, K, V] = sizesOf(heads);
  const count = numSegments(heads);
  const each = count * B * H;
  return bytesOfParts(count > 1 ? [4 * each, 4 * each * V * K, 4 * each * K * K] : [4 * each]);
}

/** Of the token-by-token kernels: what each row adds to the state, in f32. */
export function keptOfRows({ v }: Pick<Heads, 'v'>): number {
  const V = v.dim(-1);
  return (v.size / V) * 4 * (4 * Math.ceil(V / 4));
}

/** `deltaSegments`. */
function numSegments(heads: Heads): number {
  const [B, T, H, K, V] = sizesOf(heads);
  const tiles = (columns: number) => Math.ceil(columns / 64);
  const blocks = B * H * Math.ceil((tiles(K) + tiles(V)) / 2);
  const chunks = Math.ceil(T / C);
  let [best, least] = [1, Number.POSITIVE_INFINITY];
  for (let wanted = 1; wanted <= 32; wanted++) {
    const chunksEach = Math.ceil(chunks / wanted);
    const count = Math.ceil(chunks / chunksEach);
    const rounds = Math.ceil((blocks * count) / multiprocessors);
    const time = rounds * (chunksEach + 4) + tiles(K) * (count - 1);
    if (time < least) [best, least] = [count, time];
  }
  return best;
}

/** T: rows, of which a token may have several. */
function sizesOf({ k, v }: Heads): [B: number, T: number, H: number, K: number, V: number] {
  const [B, H, K] = [k.dim(0), k.dim(-2), k.dim(-1)];
  return [B, k.size / (B * H * K), H, K, v.dim(-1)];
}
