import type { TextPart } from './text-part.js';
import { numLabels } from './window.js';

const blockBytes = 1 << 20;

/**
 * Conditional entropy H(next byte | byte) of a text in nats per byte: the loss of the best model that sees one byte
 * of context, so a model whose validation loss is below it has learned to look further back. The first byte of a
 * document is predicted by none.
 */
export function bigramEntropy(text: TextPart): number {
  const pairs = new Float64Array(256 * 256);
  let prev = text.read(0, 1)[0]!;
  for (let start = 1; start < text.numBytes; start += blockBytes) {
    const block = text.read(start, Math.min(blockBytes, text.numBytes - start));
    for (const byte of block) {
      pairs[prev * 256 + byte]!++;
      prev = byte;
    }
    for (const first of text.documents?.between(start, start + block.length) ?? []) {
      const [before, byte] = text.read(first - 1, 2);
      pairs[before! * 256 + byte!]!--;
    }
  }
  let nats = 0;
  for (let first = 0; first < 256; first++) {
    const row = pairs.subarray(first * 256, first * 256 + 256);
    const rowTotal = row.reduce((sum, count) => sum + count, 0);
    for (const count of row) if (count > 0) nats -= count * Math.log(count / rowTotal);
  }
  return nats / numLabels(text, { start: 0, numTokens: text.numBytes - 1 });
}
