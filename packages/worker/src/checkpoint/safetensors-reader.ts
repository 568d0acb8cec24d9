import { type FileHandle, open } from 'node:fs/promises';
import { formatError, lengthPrefixBytes, maxHeaderBytes, type TensorRange } from './safetensors-format.js';
import { decodeHeader } from './safetensors-header.js';

/** An open safetensors file whose header has been checked. Tensors are read one at a time. */
export class SafetensorsFile {
  readonly tensors: ReadonlyMap<string, TensorRange>;
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #dataStart: number;

  private constructor(
    path: string,
    handle: FileHandle,
    dataStart: number,
    tensors: Map<string, TensorRange>,
  ) {
    this.path = path;
    this.tensors = tensors;
    this.#handle = handle;
    this.#dataStart = dataStart;
  }

  /** Opens and checks; errors E-ST-* name the file and the tensor. The caller closes it. */
  static async open(path: string): Promise<SafetensorsFile> {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      const headerBytes = await readHeaderLength(handle, size, path);
      const dataStart = lengthPrefixBytes + headerBytes;
      const json = await readExactly(handle, lengthPrefixBytes, headerBytes, path);
      return new SafetensorsFile(path, handle, dataStart, decodeHeader(json, size - dataStart, path));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The bytes of one tensor, in a buffer of its own. */
  async read(name: string): Promise<Buffer> {
    const range = this.tensors.get(name);
    if (range === undefined) throw formatError('E-ST-NAME', this.path, name, 'no such tensor');
    return readExactly(this.#handle, this.#dataStart + range.start, range.end - range.start, this.path);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

async function readHeaderLength(handle: FileHandle, size: number, path: string): Promise<number> {
  if (size < lengthPrefixBytes)
    throw formatError('E-ST-TRUNCATED', path, null, `${size} bytes`, `at least ${lengthPrefixBytes}`);
  const length = (await readExactly(handle, 0, lengthPrefixBytes, path)).readBigUInt64LE();
  if (length > maxHeaderBytes)
    throw formatError('E-ST-HEADER', path, null, `header of ${length} bytes`, `at most ${maxHeaderBytes}`);
  if (Number(length) > size - lengthPrefixBytes)
    throw formatError('E-ST-TRUNCATED', path, null, `${size} bytes`, `a header of ${length} bytes`);
  return Number(length);
}

/** Reads exactly `length` bytes at `position`; the file may have been cut since its size was taken. */
async function readExactly(
  handle: FileHandle,
  position: number,
  length: number,
  path: string,
): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(buffer, done, length - done, position + done);
    if (bytesRead === 0)
      throw formatError(
        'E-ST-TRUNCATED',
        path,
        null,
        `ends at byte ${position + done}`,
        `${position + length}`,
      );
    done += bytesRead;
  }
  return buffer;
}
