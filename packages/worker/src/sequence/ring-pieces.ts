import {
  type AttentionInputs,
  type AttentionOptions,
  type AttentionResult,
  attendBlock,
  attendBlockBackward,
  emptyLike,
  fill,
  type Tensor,
} from '@longscan/kernels';
import type { SequenceAttentionOptions } from './attend-alone.js';
import { BlockGradients, circulate } from './circulate.js';
import { KeyBlocks, type KeyPiece } from './key-blocks.js';
import type { KeyRing } from './key-ring.js';
import type { Received } from './received.js';
import type { SliceGroup } from './slice-group.js';

/** Tokens that a rank attends, and their part of its block. */
export interface RingPiece extends KeyPiece {
  /** [B, n, H, K] */
  readonly q: Tensor;
  /** i32 [B, n] within the document; null: every sequence is one document. */
  readonly positions: Tensor | null;
  /** Of each token a further key and value of its own: [B, n, G, K] and [B, n, G, V]. */
  readonly kSelf: Tensor | null;
  readonly vSelf: Tensor | null;
}

export interface RingCall {
  readonly ring: KeyRing;
  readonly group: SliceGroup;
  readonly options: SequenceAttentionOptions;
  readonly received: Received;
}

/** Outputs [B, n, H, V] of a rank's pieces over the blocks of all ranks. The backward pass lets the blocks go round again. */
export function attendRing(pieces: readonly RingPiece[], call: RingCall): Tensor[] {
  const { received } = call;
  const found = received.isReplay ? null : runForward(pieces, call);
  const results = pieces.map((_, i) => ({
    o: received.next(() => found![i]!.o)!,
    lse: received.next(() => found![i]!.lse)!,
  }));
  // Views: what was received may be replayed, and a replayed tensor is no node's output.
  const outputs = results.map(({ o }) => o.view(o.shape));
  const inputs = pieces.flatMap(differentiable);
  const { tape } = outputs[0]!.device;
  if (tape === null || !inputs.some((input) => input.requiresGrad)) return outputs;
  const kept = [...inputs, ...pieces.map(({ positions }) => positions)].filter((tensor) => tensor !== null);
  tape.record({
    name: 'ring-attention',
    flushes: true,
    inputs,
    outputs,
    saved: [...kept, ...results.flatMap(({ o, lse }) => [o, lse])],
    backward(gradients) {
      const dOs = gradients.map((gradient, i) => gradient ?? zerosLike(outputs[i]!));
      return runBackward(pieces, results, dOs, call, () => tape.flushDeferred());
    },
  });
  return outputs;
}

/** In the order in which `runBackward` gives their gradients. */
function differentiable({ q, k, v, kSelf, vSelf }: RingPiece): Tensor[] {
  return [q, k, v, kSelf, vSelf].filter((tensor) => tensor !== null);
}

function runForward(pieces: readonly RingPiece[], { ring, group, options }: RingCall): AttentionResult[] {
  const results = new Map<RingPiece, AttentionResult>();
  circulate(ring, blocksOf(pieces, ring, group, options), group, (block) => {
    for (const piece of pieces) {
      for (const keys of block?.pieces ?? []) {
        if (keys.start > piece.start) continue;
        const before = results.get(piece) ?? null;
        const [inputs, where] = blockCall(piece, keys, options, before === null);
        results.set(piece, attendBlock(inputs, where, before));
      }
    }
  });
  return pieces.map((piece) => results.get(piece)!);
}

function runBackward(
  pieces: readonly RingPiece[],
  results: readonly AttentionResult[],
  dOs: readonly Tensor[],
  { ring, group, options }: RingCall,
  meanwhile: () => void,
): Tensor[] {
  const blocks = blocksOf(pieces, ring, group, options);
  const gradients = pieces.map(({ q, kSelf, vSelf }) => ({
    q: zerosLike(q),
    kSelf: kSelf && zerosLike(kSelf),
    vSelf: vSelf && zerosLike(vSelf),
  }));
  const ofBlocks = new BlockGradients(ring, blocks, group);
  const seen = new Set<RingPiece>();
  circulate(ring, blocks, group, (block, hop) => {
    ofBlocks.visit(block, hop, (part) => {
      for (const [i, piece] of pieces.entries()) {
        for (const [j, keys] of block!.pieces.entries()) {
          if (keys.start > piece.start) continue;
          const isFirst = !seen.has(piece);
          seen.add(piece);
          const { q, ...own } = gradients[i]!;
          attendBlockBackward(...blockCall(piece, keys, options, isFirst), results[i]!, dOs[i]!, {
            q,
            ...part.pieces[j]!,
            ...(isFirst ? own : noOwn),
          });
        }
      }
    });
  });
  meanwhile();
  const { pieces: ofKeys } = ofBlocks.wait();
  return gradients.flatMap(({ q, kSelf, vSelf }, i) =>
    [q, ofKeys[i]!.k, ofKeys[i]!.v, kSelf, vSelf].filter((tensor) => tensor !== null),
  );
}

const noOwn = { kSelf: null, vSelf: null } as const;

function blocksOf(
  pieces: readonly RingPiece[],
  ring: KeyRing,
  group: SliceGroup,
  { chunk = 1 }: SequenceAttentionOptions,
): KeyBlocks {
  return new KeyBlocks(ring, group, pieces, chunk);
}

/** The queries of one piece over the keys of another that does not come after it. Own keys go with the first. */
function blockCall(
  { start, q, positions, kSelf, vSelf }: RingPiece,
  keys: KeyPiece,
  options: SequenceAttentionOptions,
  isFirst: boolean,
): [AttentionInputs, AttentionOptions] {
  const own = isFirst ? { kSelf, vSelf } : noOwn;
  return [
    { q, k: keys.k, v: keys.v, ...own },
    { ...options, positions, keyOffset: start - keys.start },
  ];
}

function zerosLike(tensor: Tensor): Tensor {
  const result = emptyLike(tensor);
  fill(result, 0);
  return result;
}
