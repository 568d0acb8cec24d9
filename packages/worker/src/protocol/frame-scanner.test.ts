import { encode } from 'msgpack-lite';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { frameLimits, scanFrame } from './frame-scanner.js';

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');
const repeat = (byte: number, count: number): Buffer => Buffer.alloc(count, byte);
const nest = (depth: number): Buffer => Buffer.concat([repeat(0x91, depth), Buffer.of(0xc0)]);

/** Hostile frames by name: bytes, and the rule that has to catch them. */
const corpus: readonly (readonly [string, Uint8Array, string])[] = [
  ['nothing', hex(''), 'E-WIRE-LENGTH'],
  ['array of 30 M in 5 bytes', hex('dd 01c9c380'), 'E-WIRE-LENGTH'],
  ['8 nested arrays of 30 M', hex('dd01c9c380'.repeat(8)), 'E-WIRE-LENGTH'],
  ['8 nested maps of 30 M', hex('df01c9c380'.repeat(8)), 'E-WIRE-LENGTH'],
  ['map of 2^31 entries', hex('df 80000000'), 'E-WIRE-LENGTH'],
  ['array one longer than the bytes left', hex('93 c0c0'), 'E-WIRE-LENGTH'],
  ['string longer than the frame', hex('a5 61'), 'E-WIRE-LENGTH'],
  ['string of 4 GB', hex('db ffffffff'), 'E-WIRE-STRING'],
  ['header cut short', hex('dc 00'), 'E-WIRE-LENGTH'],
  ['double cut short', hex('cb 40000000'), 'E-WIRE-LENGTH'],
  ['17 levels', nest(17), 'E-WIRE-DEPTH'],
  ['100,000 levels', nest(100_000), 'E-WIRE-DEPTH'],
  ['too many values', Buffer.concat([hex('dd 00010000'), repeat(0xc0, 65_536)]), 'E-WIRE-ITEMS'],
  ['string over 64 KiB', Buffer.concat([hex('db 00010001'), repeat(0x61, 65_537)]), 'E-WIRE-STRING'],
  ['string that is not UTF-8', hex('a2 c328'), 'E-WIRE-STRING'],
  ['unused type', hex('c1'), 'E-WIRE-TYPE'],
  ['RegExp by ext', hex('c7 04 0a 93a12ea0'), 'E-WIRE-TYPE'],
  ['fixext', hex('d4 0100'), 'E-WIRE-TYPE'],
  ['bin', hex('c4 0100'), 'E-WIRE-TYPE'],
  ['2^53 unsigned', hex('cf 0020000000000000'), 'E-WIRE-INTEGER'],
  ['-2^53 signed', hex('d3 ffe0000000000000'), 'E-WIRE-INTEGER'],
  ['2^63 unsigned', hex('cf 8000000000000000'), 'E-WIRE-INTEGER'],
  ['two values', hex('c0 c0'), 'E-WIRE-TRAILING'],
  ['key __proto__', encode(Object.fromEntries([['__proto__', 1]])), 'E-WIRE-KEY'],
  ['key constructor', encode(Object.fromEntries([['constructor', 1]])), 'E-WIRE-KEY'],
  ['key prototype, deeper', encode([Object.fromEntries([['prototype', 1]])]), 'E-WIRE-KEY'],
  ['key twice', hex('82 a161 01 a161 02'), 'E-WIRE-KEY'],
  ['same key in two encodings', hex('82 a161 01 d90161 02'), 'E-WIRE-KEY'],
  ['integer as key', hex('81 01 02'), 'E-WIRE-KEY'],
  ['map as key', hex('81 80 02'), 'E-WIRE-KEY'],
  ['long key', Buffer.concat([hex('81 da0401'), repeat(0x61, 1025), hex('c0')]), 'E-WIRE-STRING'],
  ['frame over the limit', Buffer.alloc(frameLimits.maxFrameBytes + 1), 'E-WIRE-SIZE'],
];

for (const [name, bytes, code] of corpus) {
  test(`refuses: ${name}`, () => assert.is(scanFrame(bytes)?.code, code));
}

const sound: readonly (readonly [string, Uint8Array])[] = [
  ['16 levels', nest(16)],
  ['the most values', Buffer.concat([hex('dd 0000ffff'), repeat(0xc0, 65_535)])],
  ['a string of 64 KiB', Buffer.concat([hex('db 00010000'), repeat(0x61, 65_536)])],
  ['2^53 - 1', hex('cf 001fffffffffffff')],
  ['-(2^53 - 1)', hex('d3 ffe0000000000001')],
  ['small 64-bit integers', hex('92 cf 0000000000000001 d3 ffffffffffffffff')],
  ['all scalars', hex('9c c0 c2 c3 7f e0 cc01 cd0001 ce00000001 d0ff d1ffff d2ffffffff cb3ff0000000000000')],
  ['the same key in two maps', hex('92 81a161c0 81a161c0')],
  ['empty containers', hex('93 80 90 a0')],
  ['UTF-8', encode({ name: 'Ὀδυσσεύς' })],
];

for (const [name, bytes] of sound) {
  test(`accepts: ${name}`, () => assert.is(scanFrame(bytes), null));
}

test('the work is bounded by the frame, whatever it claims', () => {
  for (const [name, bytes] of corpus) {
    if (bytes.length > 4096) continue;
    let numReads = 0;
    const counted = new Proxy(bytes, {
      get(target, key) {
        if (typeof key === 'string' && /^\d+$/.test(key)) numReads++;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    scanFrame(counted);
    assert.ok(numReads <= bytes.length, `${name}: ${numReads} reads of ${bytes.length} bytes`);
  }
});

test.run();
