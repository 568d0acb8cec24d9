import { type CollectiveEntry, directBytes } from '@longscan/worker';
import { bytesPerF32 } from '@longscan/worker/protocol';
import { type Engine, piecesOf } from './engine.js';
import type { SimulatedMessage } from './program.js';

/** Exchanges that follow each other. */
export type Exchanges = readonly {
  readonly sends: readonly SimulatedMessage[];
  readonly recvs: readonly SimulatedMessage[];
}[];

/** A rank's place in a group, whose ranks are counted in the group. */
export interface Place {
  readonly rank: number;
  readonly size: number;
}

/** A collective of a schedule, without its place in it. */
export type Collective = Pick<CollectiveEntry, 'verb' | 'bytes'>;

/** Everybody with everybody, pieces around a ring, or in rounds whose distances double. */
type FollowedAlgorithm = 'direct' | 'ring' | 'rounds';

/** Who does a collective, and how. */
export interface Method<A = FollowedAlgorithm | 'tree'> {
  readonly engine: Engine;
  /** Up and down a tree is not followed message by message. */
  readonly algorithm: A;
}

/** A method whose messages are followed one by one. */
export type FollowedMethod = Method<FollowedAlgorithm>;

/** What an engine chooses where messages are followed; the built-in one decides by size alone. */
export function methodOf({ verb, bytes }: Collective, size: number, engine: Engine): FollowedMethod {
  if (verb === 'barrier') return { engine, algorithm: 'rounds' };
  if (engine === 'nccl' || verb === 'broadcast') return { engine, algorithm: 'ring' };
  const limit = verb === 'reduceScatter' ? directBytes * size : directBytes;
  return { engine, algorithm: bytes <= limit ? 'direct' : 'ring' };
}

/** The messages of one rank in a collective. Broadcasts begin at the first rank. */
export function exchangesOf(collective: Collective, place: Place, method: FollowedMethod): Exchanges {
  const exchanges = messagesOf(collective, place, method);
  if (method.engine === 'tcp') return exchanges;
  return exchanges.map(({ sends, recvs }) => ({
    sends: sends.map((message) => ({ ...message, inKernel: true })),
    recvs,
  }));
}

function messagesOf(collective: Collective, place: Place, { engine, algorithm }: FollowedMethod): Exchanges {
  const { verb, bytes } = collective;
  const { rank, size } = place;
  const neighbour = (distance: number) => (((rank + distance) % size) + size) % size;
  if (size === 1 || (bytes === 0 && verb !== 'barrier')) return [];
  if (verb === 'barrier') return rounds(place);
  if (verb === 'broadcast') return chain(piecesOf(bytes, engine), place);
  if (verb === 'allGather') {
    if (algorithm === 'direct') return direct(place, () => bytes);
    return ring(place, () => piecesOf(bytes, engine));
  }
  const blockBytes = evenBlocks(bytes, size);
  if (verb === 'reduceScatter' && algorithm === 'direct') return direct(place, blockBytes);
  if (algorithm === 'direct') return direct(place, () => bytes);
  // Block i starts at rank i + 1 and comes to rank i last; then, in an all-reduce, all of them go round.
  const piecesFor = (place: number) => piecesOf(blockBytes(neighbour(place)), engine);
  const reduce = ring(place, (step) => piecesFor(-2 - step));
  if (verb === 'reduceScatter') return reduce;
  return [...reduce, ...ring(place, (step) => piecesFor(-1 - step))];
}

/** Bytes of the block of each rank: as many whole elements for everybody, one more for the first ones. */
function evenBlocks(bytes: number, size: number): (rank: number) => number {
  const count = Math.ceil(bytes / bytesPerF32);
  return (rank) => bytesPerF32 * (Math.floor(count / size) + Number(rank < count % size));
}

function direct({ rank, size }: Place, bytesFor: (rank: number) => number): Exchanges {
  const others = Array.from({ length: size - 1 }, (_, i) => i + 1);
  return [
    {
      recvs: others.map((i) => ({ peer: (rank - i + size) % size, bytes: bytesFor(rank) })),
      sends: others.map((i) => {
        const peer = (rank + i) % size;
        return { peer, bytes: bytesFor(peer) };
      }),
    },
  ];
}

/**
 * P - 1 blocks arrive from the previous rank, the one of `step` 0 first; all but the last are passed on, piece by piece.
 * `piecesOfStep(-1)`: of the block that this rank sends first.
 */
function ring({ rank, size }: Place, piecesOfStep: (step: number) => readonly number[]): Exchanges {
  const [prev, next] = [(rank - 1 + size) % size, (rank + 1) % size];
  const piecesAt = (step: number, peer: number) =>
    piecesOfStep(step).map((bytes): SimulatedMessage => ({ peer, bytes }));
  const steps = Array.from({ length: size - 1 }, (_, step) => step);
  const arriving = steps.flatMap((step) => piecesAt(step, prev));
  const leaving = steps.slice(0, -1).flatMap((step) => piecesAt(step, next));
  return [
    { sends: piecesAt(-1, next), recvs: arriving.slice(0, 1) },
    ...leaving.map((message, i) => ({ sends: [message], recvs: arriving.slice(i + 1, i + 2) })),
    { sends: [], recvs: arriving.slice(leaving.length + 1) },
  ].filter(({ sends, recvs }) => sends.length + recvs.length > 0);
}

/** From the first rank to the last, each passing on what it has got. */
function chain(pieces: readonly number[], { rank, size }: Place): Exchanges {
  const to = (peer: number) => pieces.map((piece) => ({ peer, bytes: piece }));
  if (rank === 0) return [{ sends: to(1), recvs: [] }];
  const arriving = to(rank - 1);
  if (rank === size - 1) return [{ sends: [], recvs: arriving }];
  const leaving = to(rank + 1);
  return [
    { sends: [], recvs: arriving.slice(0, 1) },
    ...leaving.map((message, i) => ({ sends: [message], recvs: arriving.slice(i + 1, i + 2) })),
  ];
}

function rounds({ rank, size }: Place): Exchanges {
  const distances = Array.from({ length: Math.ceil(Math.log2(size)) }, (_, i) => 2 ** i);
  return distances.map((distance) => ({
    sends: [{ peer: (rank + distance) % size, bytes: 1 }],
    recvs: [{ peer: (rank - distance + size) % size, bytes: 1 }],
  }));
}
