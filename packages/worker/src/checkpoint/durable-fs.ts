import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';

/** The few file operations that saving consists of. Tests put one in that fails or dies at a chosen operation. */
export interface DurableFs {
  /** Makes the folder in one that is there; an existing one is fine. */
  makeFolder(folder: string): Promise<void>;
  /** Creates the file; it must not exist. */
  createFile(file: string): Promise<WritableFile>;
  rename(from: string, to: string): Promise<void>;
  /** Makes the folder's entries (files created, renamed, removed in it) survive a power cut. */
  syncFolder(folder: string): Promise<void>;
  /** Removes a file or a whole folder; a missing one is fine. */
  remove(path: string): Promise<void>;
}

export interface WritableFile {
  /** Writes all of `bytes` at the end of what was written before. */
  write(bytes: Uint8Array): Promise<void>;
  /** Returns once the content is on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export const nodeFs: DurableFs = {
  makeFolder: async (folder) => {
    await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  },
  createFile: async (file) => new NodeFile(await open(file, 'wx')),
  rename,
  syncFolder: async (folder) => {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  remove: (path) => rm(path, { recursive: true, force: true }),
};

class NodeFile implements WritableFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** One write call may take fewer bytes than it was given (it does above 2 GiB and on a full disk). */
  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done);
      done += bytesWritten;
    }
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Runs `write` on a new file and returns once its content is on the disk. */
export async function writeDurably(
  fs: DurableFs,
  path: string,
  write: (file: WritableFile) => Promise<void>,
): Promise<void> {
  const file = await fs.createFile(path);
  try {
    await write(file);
    await file.sync();
  } finally {
    await file.close();
  }
}
