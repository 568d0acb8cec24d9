import type { LinkCost } from '@longscan/worker';
import type { Collective, Method } from './collectives.js';
import { pieceOf, piecesIn } from './engine.js';

/**
 * Time of a collective from the moment at which its last rank has come, as its messages would take it if all came then. `link`:
 * the slowest that a message of it crosses.
 */
export function meetingSeconds(
  { verb, bytes }: Collective,
  size: number,
  { engine, algorithm }: Method,
  link: LinkCost,
): number {
  if (size === 1) return 0;
  const transfer = (message: number) => message / link.bandwidthBytesPerS;
  const held = (message: number) => Math.max(link.gapS, transfer(message));
  const direct = (message: number) => (size - 2) * held(message) + link.latencyS + transfer(message);
  /** For all pieces of a block but the last, and for the last until it is through. */
  const ofBlock = (block: number) => {
    const piece = pieceOf(block, engine);
    const numWhole = block === 0 ? 0 : Math.floor(block / piece);
    const rest = block - numWhole * piece;
    const all = numWhole * held(piece) + (rest > 0 ? held(rest) : 0);
    const last = rest > 0 || block === 0 ? rest : piece;
    return { all, untilLast: all - held(last) + transfer(last), first: Math.min(block, piece) };
  };
  /** P - 1 blocks one after the other through each port; a piece waits for its way to the rank before it is passed on. */
  const ring = (block: number) => {
    const { all, untilLast, first } = ofBlock(block);
    return (size - 2) * Math.max(all, link.latencyS + transfer(first)) + link.latencyS + untilLast;
  };
  const numRounds = Math.ceil(Math.log2(size));
  // Up and down two trees, each of which has half of the pieces; all of a rank's bytes cross its port twice.
  if (algorithm === 'tree') {
    const piece = bytes / piecesIn(bytes);
    return 2 * (numRounds * (link.latencyS + transfer(piece)) + (piecesIn(bytes) - 1) * held(piece));
  }
  switch (verb) {
    case 'barrier':
      return numRounds * Math.max(link.latencyS + transfer(1), held(1));
    case 'broadcast': {
      const { untilLast, first } = ofBlock(bytes);
      return (size - 1) * link.latencyS + (size - 2) * transfer(first) + untilLast;
    }
    case 'allGather':
      return algorithm === 'direct' ? direct(bytes) : ring(bytes);
    case 'reduceScatter':
      return algorithm === 'direct' ? direct(bytes / size) : ring(bytes / size);
    case 'allReduce':
      return algorithm === 'direct' ? direct(bytes) : 2 * ring(bytes / size);
  }
}

/** Bytes that a rank sends in a collective; of a broadcast, all ranks but the last. */
export function bytesSentIn({ verb, bytes }: Collective, size: number, { algorithm }: Method): number {
  const others = size - 1;
  switch (verb) {
    case 'barrier':
      return Math.ceil(Math.log2(size));
    case 'broadcast':
      return bytes;
    case 'allGather':
      return others * bytes;
    case 'reduceScatter':
      return (others * bytes) / size;
    case 'allReduce':
      if (algorithm === 'tree') return 2 * bytes;
      return algorithm === 'direct' ? others * bytes : (2 * others * bytes) / size;
  }
}

/** Of all ranks together. */
export function numMessages({ verb, bytes }: Collective, size: number, { algorithm }: Method): number {
  const pairs = size * (size - 1);
  switch (verb) {
    case 'barrier':
      return size * Math.ceil(Math.log2(size));
    case 'broadcast':
      return (size - 1) * piecesIn(bytes);
    case 'allGather':
      return algorithm === 'direct' ? pairs : pairs * piecesIn(bytes);
    case 'reduceScatter':
      return algorithm === 'direct' ? pairs : pairs * piecesIn(bytes / size);
    case 'allReduce':
      return algorithm === 'direct' ? pairs : 2 * pairs * piecesIn(bytes / size);
  }
}
