const alphabet = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';

/**
 * Decodes Z85 (ZeroMQ RFC 32): five characters to four bytes, big-endian.
 *
 * ZeroMQ's key options take Z85; a ZAP request carries the same key as 32 raw bytes.
 *
 * @throws RangeError for text that is not Z85.
 */
export function decodeZ85(text: string): Buffer {
  if (text.length % 5 !== 0) throw new RangeError(`Z85 text of ${text.length} characters`);
  const bytes = Buffer.alloc((text.length / 5) * 4);
  for (let i = 0; i < text.length; i += 5) {
    let value = 0;
    for (const character of text.slice(i, i + 5)) {
      const digit = alphabet.indexOf(character);
      if (digit < 0) throw new RangeError('a character outside the Z85 alphabet');
      value = value * 85 + digit;
    }
    bytes.writeUInt32BE(value, (i / 5) * 4);
  }
  return bytes;
}
