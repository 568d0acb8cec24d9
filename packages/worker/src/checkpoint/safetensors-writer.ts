import { createHash } from 'node:crypto';
import { LongscanError } from '@longscan/kernels/errors';
import { type DurableFs, writeDurably } from './durable-fs.js';
import { type TensorInfo, tensorBytes } from './safetensors-format.js';
import { encodeHeader } from './safetensors-header.js';

/** A tensor to write. A function is called when its turn comes, so that only one tensor at a time is in memory. */
export interface TensorEntry extends TensorInfo {
  readonly data: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

export type TensorEntries = ReadonlyMap<string, TensorEntry>;

/** What the manifest records about a file, so that any change of it is noticed. */
export interface FileRecord {
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** Writes and syncs a safetensors file. Errors are those of `fs`, or an entry whose data has the wrong size. */
export async function writeSafetensors(
  fs: DurableFs,
  path: string,
  tensors: TensorEntries,
): Promise<FileRecord> {
  const hash = createHash('sha256');
  let bytes = 0;
  await writeDurably(fs, path, async (file) => {
    const put = async (block: Uint8Array) => {
      await file.write(block);
      hash.update(block);
      bytes += block.length;
    };
    const { header, ranges } = encodeHeader(tensors);
    await put(header);
    for (const name of ranges.keys()) await put(await readEntry(name, tensors.get(name)!));
  });
  return { bytes, sha256: hash.digest('hex') };
}

/** Size of the file that `writeSafetensors` makes of these tensors. */
export function safetensorsBytes(tensors: TensorEntries): number {
  const { header, ranges } = encodeHeader(tensors);
  return [...ranges.values()].reduce((end, range) => Math.max(end, header.length + range.end), header.length);
}

async function readEntry(name: string, entry: TensorEntry): Promise<Uint8Array> {
  const data = typeof entry.data === 'function' ? await entry.data() : entry.data;
  if (data.length === tensorBytes(entry)) return data;
  throw new LongscanError({
    code: 'E-ST-SHAPE',
    where: `tensor ${JSON.stringify(name)}`,
    found: `${data.length} bytes to write`,
    expected: `${tensorBytes(entry)} for ${entry.dtype} [${entry.shape.join(', ')}]`,
    fix: "give the bytes of the tensor's shape and type",
  });
}
