import { type FileHandle, open } from 'node:fs/promises';

/** Lines are short; what is further back than this is not read however few lines it makes. */
const maxTailBytes = 1 << 20;

/**
 * Last lines of a text file, oldest first, reading only its end. A file that does not exist has none.
 *
 * @param maxLines At most so many lines.
 * @param fromByte What stands before it, where a line begins, is of no interest.
 */
export async function readTail(path: string, maxLines: number, fromByte = 0): Promise<string[]> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch {
    return [];
  }
  try {
    const { size } = await file.stat();
    const start = Math.min(size, Math.max(fromByte, size - maxTailBytes));
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n');
    if (start > fromByte) lines.shift();
    if (lines.at(-1) === '') lines.pop();
    return maxLines === 0 ? [] : lines.slice(-maxLines);
  } finally {
    await file.close();
  }
}
