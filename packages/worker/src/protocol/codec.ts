import { LongscanError, reportBug } from '@longscan/kernels/errors';
import { createCodec, decode, encode } from 'msgpack-lite';
import type { z } from 'zod';
import { frameLimits, scanFrame } from './frame-scanner.js';

/** What a message may be made of: JSON's values, numbers finite. Integers beyond 32 bits travel as doubles. */
export type WireValue =
  | null
  | boolean
  | number
  | string
  | readonly WireValue[]
  | { readonly [key: string]: WireValue };

// `usemap`: maps arrive as Map, so that no key of the sender's can touch a prototype. No ext type is registered.
const mapCodec = createCodec({ usemap: true });

/**
 * One message as a frame.
 *
 * @throws LongscanError E-WIRE-ENCODE (our own bug) for a value that is not a WireValue, or a frame that the other
 * side would refuse: what we send passes the scan we demand of others.
 */
export function encodeFrame(message: unknown): Buffer {
  const frame = encode(toWire(message, 'message'), { codec: mapCodec });
  const fault = scanFrame(frame);
  if (fault !== null) throw unencodable('message', `${fault.found} (${fault.code})`);
  return frame;
}

/** What to do about frames that are not as they should be. */
export const sameVersion = 'start every process of a job with the same version of longscan';

/**
 * Reads one frame: structural scan, decode, then the schema. Nothing that fails gets further than this call.
 *
 * @throws LongscanError E-WIRE-* (exit code 7) whose `where` is `where`.
 */
export function decodeFrame<T>(bytes: Uint8Array, schema: z.ZodType<T>, where: string): T {
  const fault = scanFrame(bytes);
  if (fault !== null) {
    throw new LongscanError({
      code: fault.code,
      where,
      found: `${fault.found} at byte ${fault.offset} of a ${bytes.length}-byte frame`,
      expected: 'a well-formed control frame',
      exitCode: 7,
      fix: sameVersion,
    });
  }
  const parsed = schema.safeParse(fromWire(decode(bytes, { codec: mapCodec })));
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new LongscanError({
      code: 'E-WIRE-SCHEMA',
      where,
      found: `${issue.path.join('.') || 'message'}: ${issue.message}`,
      expected: 'a message of this version of longscan',
      exitCode: 7,
      fix: sameVersion,
    });
  }
  return parsed.data;
}

/** Maps become plain objects; the scan has refused every key that an object cannot hold safely. */
function fromWire(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromWire);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([key, entry]) => [String(key), fromWire(entry)]));
}

/** Plain objects become Maps, which is what the codec writes; everything outside the allow-list is refused. */
function toWire(value: unknown, path: string): unknown {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw unencodable(path, String(value));
    return value;
  }
  if (Array.isArray(value)) return value.map((entry, i) => toWire(entry, `${path}[${i}]`));
  if (typeof value === 'object' && isPlain(value)) {
    return new Map(Object.entries(value).map(([key, entry]) => [key, toWire(entry, `${path}.${key}`)]));
  }
  throw unencodable(path, value === undefined ? 'undefined' : `a ${typeof value}`);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function unencodable(path: string, found: string): LongscanError {
  return new LongscanError({
    code: 'E-WIRE-ENCODE',
    where: path,
    found,
    expected: `null, a boolean, a finite number, a string, or arrays and objects of these in ${frameLimits.maxFrameBytes} bytes`,
    fix: reportBug(),
  });
}
