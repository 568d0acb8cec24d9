import {
  type Device,
  type DType,
  dtypeBytes,
  empty,
  type HostArray,
  hostArray,
  LongscanError,
  nearestBf16,
  type Tensor,
  widenedBf16,
} from '@longscan/kernels';
import {
  type CheckpointContent,
  checkSignature,
  openCheckpoint,
  type SafetensorsFile,
  type TensorEntry,
} from '../checkpoint/index.js';
import type { ParameterSpec } from '../model/init.js';
import type { Parameters } from '../model/parameters.js';
import type { Optimizer } from '../optim/optimizer.js';
import { piecesOfShard, type ShardPiece } from '../optim/shard.js';
import type { JobSpec } from '../protocol/job-spec.js';
import type { Carry } from '../sequence/carry.js';

/** Names of carried states, which lie beside the moments: only going on with a training needs them. */
const carriedPrefix = 'carry.';

/**
 * What a checkpoint of this training holds, the same for every number of ranks; each tensor is read from the device when
 * its turn comes. `shards`: the moments of all shards of the optimizer, in their order.
 */
export function checkpointContent(
  parameters: Parameters,
  shards: readonly Optimizer['moments'][],
  carry: Carry | null,
): CheckpointContent {
  const entries = new Map<string, TensorEntry>();
  for (const { name, shape } of parameters.specs) {
    entries.set(name, { dtype: 'f32', shape, data: () => valuesIn(parameters, name) });
  }
  const moments = new Map<string, TensorEntry>();
  const pieces = shards
    .flatMap((shard, index) =>
      piecesOfShard(parameters.buckets, { index, count: shards.length }).map((piece) => ({
        ...piece,
        shard,
      })),
    )
    .sort((a, b) => a.begin - b.begin);
  for (const { name, shape, offset } of parameters.layout()) {
    for (const moment of ['m', 'v'] as const) {
      const parts = pieces.map(({ shard, ...piece }) => ({ ...piece, moment: shard[moment] }));
      moments.set(`${name}.${moment}`, entryOfParts(parts, shape, offset));
    }
  }
  for (const [key, state] of carry?.states ?? []) moments.set(carriedPrefix + key, entryOf(state));
  return { parameters: entries, optimizer: moments, trainer: {} };
}

/** What a checkpoint says of the training that it is of. */
export interface Restored {
  /** Done before. */
  readonly step: number;
  /** What its moments were held in. */
  readonly moments: JobSpec['optimizer']['moments'];
}

/**
 * Sets parameters, and moments and carried states where they are given, to those of a committed checkpoint; verifies
 * every byte. `carry` is given on the rank where sequences begin. @throws LongscanError E-CKPT-*, E-ST-*
 */
export async function restore(
  dir: string,
  parameters: Parameters,
  optimizer: Optimizer | null,
  carry: Carry | null = null,
): Promise<Restored> {
  const checkpoint = await openCheckpoint(dir);
  try {
    const signature = parameters.specs.map(({ name, shape }) => ({ name, dtype: 'f32', shape: [...shape] }));
    checkSignature(checkpoint.manifest, dir, signature);
    for (const spec of parameters.specs) {
      parameters.write(spec.name, await read(checkpoint.parameters, spec.name, valueType(parameters, spec)));
    }
    if (optimizer !== null) await loadMoments(checkpoint.optimizer, parameters, optimizer);
    if (carry !== null) await loadCarried(checkpoint.optimizer, parameters.device, carry);
    const { step, jobSpec } = checkpoint.manifest;
    return { step, moments: jobSpec.optimizer.moments };
  } finally {
    await checkpoint.close();
  }
}

/** Of every parameter the part that lies in this rank's shard; in another type than the optimizer's if it was saved so. */
async function loadMoments(
  file: SafetensorsFile,
  parameters: Parameters,
  optimizer: Optimizer,
): Promise<void> {
  for (const { spec, inParameter, inShard, length } of optimizer.ranges()) {
    const { name } = spec;
    for (const moment of ['m', 'v'] as const) {
      const tensor = `${name}.${moment}`;
      const saved = file.tensors.get(tensor)?.dtype === 'bf16' ? 'bf16' : 'f32';
      const values = await read(file, tensor, { ...valueType(parameters, spec), dtype: saved });
      const part = optimizer.moments[moment].view([length], inShard);
      part.write(converted(values.subarray(inParameter, inParameter + length), part.dtype));
      part.release();
    }
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
  tensor.write(await read(file, name, tensor));
}

/** Of a tensor that a file holds. */
interface ValueType {
  readonly size: number;
  readonly dtype: DType;
}

function valueType({ dtype }: Parameters, { shape }: ParameterSpec): ValueType {
  return { size: shape.reduce((a, b) => a * b, 1), dtype };
}

/** The values of `name`. */
async function read(file: SafetensorsFile, name: string, { size, dtype }: ValueType): Promise<HostArray> {
  const bytes = await file.read(name);
  if (bytes.length !== size * dtypeBytes[dtype]) {
    throw new LongscanError({
      code: 'E-CKPT-MODEL',
      where: `${file.path}, ${name}`,
      found: `${bytes.length} bytes`,
      expected: `${size * dtypeBytes[dtype]}`,
      exitCode: 4,
      fix: 'use a checkpoint of this model',
    });
  }
  // A copy, since a Buffer's memory need not be aligned for the typed array.
  return hostArray(dtype, Uint8Array.from(bytes).buffer);
}

async function valuesIn(parameters: Parameters, name: string): Promise<Uint8Array> {
  const values = parameters.valuesOf(name);
  try {
    return await bytesOf(values);
  } finally {
    values.release();
  }
}

function entryOf(tensor: Tensor): TensorEntry {
  return { dtype: 'f32', shape: tensor.shape, data: () => bytesOf(tensor) };
}

/** A piece of the flat buffers with the moments of the shard that holds it. */
interface MomentPiece extends ShardPiece {
  readonly moment: Tensor;
}

/** A tensor of elements from `offset` on of what `parts`, in their order, are all of. */
function entryOfParts(parts: readonly MomentPiece[], shape: readonly number[], offset: number): TensorEntry {
  const size = shape.reduce((a, b) => a * b, 1);
  return {
    dtype: parts[0]!.moment.dtype,
    shape,
    data: async () => {
      const pieces = cutFrom(parts, offset, size);
      const values = await Promise.all(pieces.map((piece) => piece.read()));
      for (const piece of pieces) piece.release();
      return Buffer.concat(values.map(asBytes));
    },
  };
}

/** Views of elements `[begin, begin + size)`. */
function cutFrom(parts: readonly MomentPiece[], begin: number, size: number): Tensor[] {
  return parts.flatMap((part) => {
    const first = Math.max(begin, part.begin);
    const length = Math.min(begin + size, part.end) - first;
    return length > 0 ? [part.moment.view([length], part.inShard + first - part.begin)] : [];
  });
}

/** As f32, which holds every bf16 number too. */
async function bytesOf(tensor: Tensor): Promise<Uint8Array> {
  const isRounded = tensor.dtype === 'bf16';
  return asBytes(isRounded ? Float32Array.from(await tensor.readNumbers()) : await tensor.read());
}

function asBytes({ buffer, byteOffset, byteLength }: HostArray): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** f32 values or patterns of bf16, as `values` are one or the other, in the type that is asked for. */
function converted(values: HostArray, dtype: DType): HostArray {
  if (values instanceof Uint16Array === (dtype === 'bf16')) return values;
  return values instanceof Uint16Array ? widenedBf16(values) : nearestBf16(values);
}
