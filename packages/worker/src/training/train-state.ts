import { type Device, empty, hostArray, LongscanError, type Tensor } from '@longscan/kernels';
import {
  type CheckpointContent,
  checkSignature,
  openCheckpoint,
  type SafetensorsFile,
  type TensorEntry,
} from '../checkpoint/index.js';
import type { Parameters } from '../model/parameters.js';
import type { Optimizer } from '../optim/optimizer.js';
import type { Carry } from '../sequence/carry.js';

/** Names of carried states, which lie beside the moments: only going on with a training needs them. */
const carriedPrefix = 'carry.';

/** What a checkpoint of this training holds; each tensor is read from the device when its turn comes. */
export function checkpointContent(
  parameters: Parameters,
  optimizer: Optimizer,
  carry: Carry | null,
): CheckpointContent {
  const entries = new Map<string, TensorEntry>();
  for (const [name, tensor] of parameters.byName) entries.set(name, entryOf(tensor));
  const moments = new Map<string, TensorEntry>();
  for (const [name, { m, v }] of optimizer.moments) {
    moments.set(`${name}.m`, entryOf(m));
    moments.set(`${name}.v`, entryOf(v));
  }
  for (const [key, state] of carry?.states ?? []) moments.set(carriedPrefix + key, entryOf(state));
  return { parameters: entries, optimizer: moments, trainer: {} };
}

/**
 * Sets parameters, and moments and carried states where they are given, to those of a committed checkpoint; verifies
 * every byte. `carry` is given on the rank where sequences begin. Returns the number of steps done. @throws LongscanError E-CKPT-*, E-ST-*
 */
export async function restore(
  dir: string,
  parameters: Parameters,
  optimizer: Optimizer | null,
  carry: Carry | null = null,
): Promise<number> {
  const checkpoint = await openCheckpoint(dir);
  try {
    const signature = parameters.specs.map(({ name, shape }) => ({ name, dtype: 'f32', shape: [...shape] }));
    checkSignature(checkpoint.manifest, dir, signature);
    for (const [name, tensor] of parameters.byName) await load(checkpoint.parameters, name, tensor);
    for (const [name, { m, v }] of optimizer?.moments ?? []) {
      await load(checkpoint.optimizer, `${name}.m`, m);
      await load(checkpoint.optimizer, `${name}.v`, v);
    }
    if (carry !== null) await loadCarried(checkpoint.optimizer, parameters.device, carry);
    return checkpoint.manifest.step;
  } finally {
    await checkpoint.close();
  }
}

async function loadCarried(file: SafetensorsFile, device: Device, carry: Carry): Promise<void> {
  for (const [name, { shape }] of file.tensors) {
    if (!name.startsWith(carriedPrefix)) continue;
    const state = empty(device, shape);
    await load(file, name, state);
    carry.restore(name.slice(carriedPrefix.length), state);
  }
}

async function load(file: SafetensorsFile, name: string, tensor: Tensor): Promise<void> {
  const bytes = await file.read(name);
  if (bytes.length !== tensor.bytes) {
    throw new LongscanError({
      code: 'E-CKPT-MODEL',
      where: `${file.path}, ${name}`,
      found: `${bytes.length} bytes`,
      expected: `${tensor.bytes}`,
      exitCode: 4,
    });
  }
  // A copy, since a Buffer's memory need not be aligned for the typed array.
  tensor.write(hostArray(tensor.dtype, Uint8Array.from(bytes).buffer));
}

function entryOf(tensor: Tensor): TensorEntry {
  return {
    dtype: 'f32',
    shape: tensor.shape,
    data: async () => {
      const values = await tensor.read();
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    },
  };
}
