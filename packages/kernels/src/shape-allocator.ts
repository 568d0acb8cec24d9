/** Memory that several views share. */
export interface ShapeBlock {
  /** As rounded. */
  readonly bytes: number;
  /** Stream on which it is first touched. */
  readonly home: number;
  numTensors: number;
  /** When another stream's work on it was enqueued last; 0: never. */
  lastForeignUse: number;
}

/** Memory in use when most of it was, by home stream. */
export type BytesByStream = ReadonlyMap<number, number>;

/**
 * The caching, stream-ordered allocator of core/allocator.h by sizes alone, so that a shape device counts the bytes that a
 * device would hold: sizes are rounded alike, and a free block serves its home stream again. One that other streams used is
 * free once the host has waited for their work, as on a device that the host runs ahead of.
 */
export class ShapeAllocator {
  private inUseBytes = 0;
  private peakBytes = 0;
  private reservedBytes = 0;
  private readonly inUse = new Map<number, number>();
  private atPeak = new Map<number, number>();
  /** Free blocks by home stream and size. */
  private readonly free = new Map<number, Map<number, ShapeBlock[]>>();
  private pending: ShapeBlock[] = [];
  private clock = 1;
  private waitedUntil = 0;

  allocate(bytes: number, home: number): ShapeBlock {
    const block = this.takeFree(roundedSize(bytes), home) ?? this.map(roundedSize(bytes), home);
    this.count(block, 1);
    if (this.inUseBytes > this.peakBytes) this.notePeak();
    return block;
  }

  release(block: ShapeBlock): void {
    this.count(block, -1);
    if (block.lastForeignUse > this.waitedUntil) this.pending.push(block);
    else this.putFree(block);
  }

  /** Work on `stream` touches the block. */
  touch(block: ShapeBlock, stream: number): void {
    if (stream !== block.home) block.lastForeignUse = this.clock++;
  }

  /** For `waited`: all that is enqueued so far. */
  now(): number {
    return this.clock - 1;
  }

  /** The host has waited for what was enqueued until then. */
  waited(until: number): void {
    this.waitedUntil = Math.max(this.waitedUntil, until);
    const pending = this.pending;
    this.pending = [];
    for (const block of pending) {
      if (block.lastForeignUse > this.waitedUntil) this.pending.push(block);
      else this.putFree(block);
    }
  }

  stats(): { inUseBytes: number; peakBytes: number; reservedBytes: number } {
    const { inUseBytes, peakBytes, reservedBytes } = this;
    return { inUseBytes, peakBytes, reservedBytes };
  }

  peakByStream(): BytesByStream {
    return this.atPeak;
  }

  resetPeak(): void {
    this.notePeak();
  }

  private notePeak(): void {
    this.peakBytes = this.inUseBytes;
    this.atPeak = new Map(this.inUse);
  }

  private count({ bytes, home }: ShapeBlock, sign: 1 | -1): void {
    this.inUseBytes += sign * bytes;
    this.inUse.set(home, (this.inUse.get(home) ?? 0) + sign * bytes);
  }

  private map(bytes: number, home: number): ShapeBlock {
    this.reservedBytes += bytes;
    return { bytes, home, numTensors: 0, lastForeignUse: 0 };
  }

  /** The smallest that is large enough, unless too much of it would be lost. */
  private takeFree(bytes: number, home: number): ShapeBlock | null {
    const lists = this.free.get(home);
    if (lists === undefined) return null;
    let best = Number.POSITIVE_INFINITY;
    for (const size of lists.keys()) if (size >= bytes && size < best) best = size;
    if (best > bytes + Math.floor(bytes / 4)) return null;
    const list = lists.get(best)!;
    const block = list.pop()!;
    if (list.length === 0) lists.delete(best);
    return block;
  }

  private putFree(block: ShapeBlock): void {
    block.lastForeignUse = 0;
    const lists = this.free.get(block.home) ?? new Map<number, ShapeBlock[]>();
    this.free.set(block.home, lists);
    const list = lists.get(block.bytes) ?? [];
    lists.set(block.bytes, list);
    list.push(block);
  }
}

const largestStep = 2 ** 21;

/** As `roundedSize` of core/allocator.cc; a test compares them. */
function roundedSize(bytes: number): number {
  const wanted = Math.max(bytes, 64);
  const step = Math.min(Math.max(64, 2 ** (Math.floor(Math.log2(wanted)) - 3)), largestStep);
  return Math.ceil(wanted / step) * step;
}
