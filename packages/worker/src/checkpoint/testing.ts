import { jobSpecSchema } from '../protocol/job-spec.js';
import type { DurableFs, WritableFile } from './durable-fs.js';
import type { TensorEntry } from './safetensors-writer.js';
import type { CheckpointContent, SaveContext } from './save.js';

/** What the tests of this folder save: small, and different for every `seed`. */
export function sampleContent(seed: number, numValues = 6): CheckpointContent {
  const tensor = (first: number): TensorEntry => {
    const values = Float32Array.from({ length: numValues }, (_, i) => seed * 1000 + first + i);
    return { dtype: 'f32', shape: [2, numValues / 2], data: Buffer.from(values.buffer) };
  };
  return {
    parameters: new Map([
      ['embedding.weight', tensor(0)],
      ['layers.0.gate', { dtype: 'bf16', shape: [3], data: Buffer.from([seed, 1, 2, 3, 4, 5]) }],
    ]),
    optimizer: new Map([
      ['embedding.weight.m', tensor(100)],
      ['embedding.weight.v', tensor(200)],
    ]),
    trainer: { rng: `${seed}` },
  };
}

export function sampleContext(step: number): SaveContext {
  const jobSpec = jobSpecSchema.parse({
    data: { path: '/text' },
    model: { layers: [{ use: 'gla', options: {}, file: null }], mlp: 0 },
  });
  const texts = { path: { bytes: 9, sha256: 'a'.repeat(64), documents: null }, validation: null };
  const data = { epoch: 0, sequence: step };
  return { step, world: { sp: 2, dp: 1 }, jobSpec, jobHash: 'hash', codeHashes: {}, texts, data };
}

/** Calls `before` ahead of each single operation, with its name; for a write also the bytes and the file. */
export function hookedFs(
  fs: DurableFs,
  before: (operation: string, write?: { bytes: Uint8Array; file: WritableFile }) => void | Promise<void>,
): DurableFs {
  return {
    makeFolder: async (folder) => {
      await before(`makeFolder ${folder}`);
      await fs.makeFolder(folder);
    },
    createFile: async (path) => {
      await before(`createFile ${path}`);
      const file = await fs.createFile(path);
      return {
        write: async (bytes) => {
          await before(`write ${path}`, { bytes, file });
          await file.write(bytes);
        },
        sync: async () => {
          await before(`sync ${path}`);
          await file.sync();
        },
        close: async () => {
          try {
            await before(`close ${path}`);
          } finally {
            // A failed close releases the descriptor all the same.
            await file.close();
          }
        },
      };
    },
    rename: async (from, to) => {
      await before(`rename ${from} ${to}`);
      await fs.rename(from, to);
    },
    syncFolder: async (folder) => {
      await before(`syncFolder ${folder}`);
      await fs.syncFolder(folder);
    },
    remove: async (path) => {
      await before(`remove ${path}`);
      await fs.remove(path);
    },
  };
}
