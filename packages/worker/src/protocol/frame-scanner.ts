import { isUtf8 } from 'node:buffer';

/** Why a frame is refused: the rule it breaks and the byte that breaks it. */
export interface FrameFault {
  readonly code:
    | 'E-WIRE-SIZE'
    | 'E-WIRE-DEPTH'
    | 'E-WIRE-ITEMS'
    | 'E-WIRE-LENGTH'
    | 'E-WIRE-TYPE'
    | 'E-WIRE-INTEGER'
    | 'E-WIRE-STRING'
    | 'E-WIRE-KEY'
    | 'E-WIRE-TRAILING';
  readonly offset: number;
  readonly found: string;
}

/** Limits of a frame. The sockets refuse what is larger than `maxFrameBytes` before it gets here. */
export const frameLimits = {
  maxFrameBytes: 1 << 20,
  maxDepth: 16,
  /** All values of a frame together, containers and map keys included. */
  maxItems: 65_536,
  maxStringBytes: 1 << 16,
  maxKeyBytes: 1024,
} as const;

/** As own keys of an object these would reach its prototype. */
const forbiddenKeys: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** Bytes after the tag: nil, false, true, float 32 and 64, unsigned and signed 8 to 32 bits. */
const scalarBytes: Readonly<Record<number, number>> = {
  192: 0,
  194: 0,
  195: 0,
  202: 4,
  203: 8,
  204: 1,
  205: 2,
  206: 4,
  208: 1,
  209: 2,
  210: 4,
};

/**
 * Bytes of the length after the tag: str 8 to 32, array 16 and 32, map 16 and 32. What is in neither table is
 * refused: 0xc1 is unused, bin (0xc4 to 0xc6) and ext (0xc7 to 0xc9, 0xd4 to 0xd8) are never sent.
 */
const lengthBytes: Readonly<Record<number, 1 | 2 | 4>> = {
  217: 1,
  218: 2,
  219: 4,
  220: 2,
  221: 4,
  222: 2,
  223: 4,
};

/** High word of 2^53 - 1. */
const maxSafeHighWord = 0x1f_ffff;

/**
 * Checks the structure of one msgpack frame on its raw bytes, before any decoder sees it.
 *
 * msgpack-lite recurses without a limit, lets `__proto__` set a prototype, builds objects that the sender chooses
 * (ext types), ignores trailing bytes and rounds large integers. None of that survives this scan. The scan is a
 * loop with a stack of at most `maxDepth` counters: it reads each byte at most a few times and allocates only the
 * keys of the maps that are open, so its cost is bounded by the frame's length whatever the frame claims.
 *
 * @returns null when the frame is sound, else the first rule it breaks. Never throws.
 */
export function scanFrame(bytes: Uint8Array): FrameFault | null {
  if (bytes.length > frameLimits.maxFrameBytes) {
    return { code: 'E-WIRE-SIZE', offset: 0, found: `a frame of ${bytes.length} bytes` };
  }
  return new FrameScan(bytes).run();
}

class FrameScan {
  /** Values still to come in each open container; a map counts its keys and its values. */
  readonly #remaining: number[] = [];
  /** Keys seen in each open container; null for an array. */
  readonly #keys: (Set<string> | null)[] = [];
  readonly #bytes: Uint8Array;
  #offset = 0;
  #fault: FrameFault | null = null;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  run(): FrameFault | null {
    let items = 0;
    do {
      if (++items > frameLimits.maxItems)
        return this.#refuse('E-WIRE-ITEMS', `more than ${items - 1} values`);
      const depth = this.#remaining.length;
      const keys = depth === 0 ? null : this.#keys[depth - 1]!;
      const isKey = keys !== null && this.#remaining[depth - 1]! % 2 === 0;
      if (depth > 0) this.#remaining[depth - 1]!--;
      if (isKey) this.#key(keys);
      else this.#value();
      while (this.#remaining.length > 0 && this.#remaining.at(-1) === 0) {
        this.#remaining.pop();
        this.#keys.pop();
      }
    } while (this.#fault === null && this.#remaining.length > 0);
    if (this.#fault === null && this.#offset < this.#bytes.length) {
      return this.#refuse('E-WIRE-TRAILING', `${this.#bytes.length - this.#offset} bytes after the value`);
    }
    return this.#fault;
  }

  #refuse(code: FrameFault['code'], found: string): FrameFault {
    this.#fault ??= { code, offset: this.#offset, found };
    return this.#fault;
  }

  /** Big-endian unsigned integer; 0 and a fault when the frame ends before it does. */
  #uint(numBytes: 1 | 2 | 4): number {
    if (this.#offset + numBytes > this.#bytes.length) {
      this.#refuse('E-WIRE-LENGTH', 'the frame ends inside a header');
      return 0;
    }
    let value = 0;
    for (let i = 0; i < numBytes; i++) value = value * 256 + this.#bytes[this.#offset++]!;
    return value;
  }

  #skip(numBytes: number): void {
    if (numBytes > this.#bytes.length - this.#offset) {
      this.#refuse('E-WIRE-LENGTH', `${numBytes} bytes declared, ${this.#bytes.length - this.#offset} left`);
    } else {
      this.#offset += numBytes;
    }
  }

  #value(): void {
    const tag = this.#uint(1);
    if (this.#fault !== null || tag <= 0x7f || tag >= 0xe0) return;
    if (tag <= 0x8f) this.#open(tag & 0x0f, true);
    else if (tag <= 0x9f) this.#open(tag & 0x0f, false);
    else if (tag <= 0xbf) this.#string(tag & 0x1f);
    else if (tag === 0xcf || tag === 0xd3) this.#integer64(tag === 0xd3);
    else if (tag in scalarBytes) this.#skip(scalarBytes[tag]!);
    else if (tag in lengthBytes) this.#sized(tag, this.#uint(lengthBytes[tag]!));
    else this.#refuse('E-WIRE-TYPE', `type 0x${tag.toString(16)}`);
  }

  #sized(tag: number, length: number): void {
    if (tag <= 0xdb) this.#string(length);
    else this.#open(length, tag >= 0xde);
  }

  /** A 64-bit integer that a JavaScript number holds exactly, or a fault. */
  #integer64(signed: boolean): void {
    const high = this.#uint(4);
    const low = this.#uint(4);
    const negative = signed && high >= 0x8000_0000;
    // Two's complement: -(2^53 - 1) is ffe00000 00000001.
    const safe = negative ? high > 0xffe0_0000 || (high === 0xffe0_0000 && low > 0) : high <= maxSafeHighWord;
    if (!safe) this.#refuse('E-WIRE-INTEGER', 'an integer beyond 2^53 - 1');
  }

  /** The bytes of a string, or null and a fault. */
  #string(numBytes: number, limitBytes: number = frameLimits.maxStringBytes): Uint8Array | null {
    if (this.#fault !== null) return null;
    if (numBytes > limitBytes) {
      this.#refuse('E-WIRE-STRING', `a string of ${numBytes} bytes`);
      return null;
    }
    const start = this.#offset;
    this.#skip(numBytes);
    if (this.#fault !== null) return null;
    const text = this.#bytes.subarray(start, this.#offset);
    if (!isUtf8(text)) this.#refuse('E-WIRE-STRING', 'a string that is not UTF-8');
    return text;
  }

  #key(seen: Set<string>): void {
    const tag = this.#uint(1);
    let text: Uint8Array | null = null;
    if (tag >= 0xa0 && tag <= 0xbf) text = this.#string(tag & 0x1f);
    else if (tag === 0xd9) text = this.#string(this.#uint(1), frameLimits.maxKeyBytes);
    else if (tag === 0xda) text = this.#string(this.#uint(2), frameLimits.maxKeyBytes);
    else this.#refuse('E-WIRE-KEY', `a map key of type 0x${tag.toString(16)}`);
    if (text === null || this.#fault !== null) return;
    const key = Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString();
    if (forbiddenKeys.has(key)) this.#refuse('E-WIRE-KEY', `the map key ${key}`);
    else if (seen.has(key)) this.#refuse('E-WIRE-KEY', 'a map key given twice');
    else seen.add(key);
  }

  /** Starts an array or map of `count` entries; every entry takes at least one byte (a map's two). */
  #open(count: number, isMap: boolean): void {
    if (this.#fault !== null) return;
    const numValues = isMap ? 2 * count : count;
    const left = this.#bytes.length - this.#offset;
    if (numValues > left) {
      this.#refuse('E-WIRE-LENGTH', `${numValues} values declared, ${left} bytes left`);
    } else if (this.#remaining.length >= frameLimits.maxDepth) {
      this.#refuse('E-WIRE-DEPTH', `more than ${frameLimits.maxDepth} levels`);
    } else {
      this.#remaining.push(numValues);
      this.#keys.push(isMap ? new Set() : null);
    }
  }
}
