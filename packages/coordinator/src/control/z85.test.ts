import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeZ85 } from './z85.js';

test("decodes RFC 32's example", () => {
  assert.is(decodeZ85('HelloWorld').toString('hex'), '864fd26fb559f75b');
});

test('a CURVE key is 32 bytes', () => {
  assert.is(decodeZ85('rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7').length, 32);
});

test('refuses what is not Z85', () => {
  assert.throws(() => decodeZ85('1234'), /4 characters/);
  assert.throws(() => decodeZ85('12 45'), /alphabet/);
});

test.run();
