import { LongscanError } from '@longscan/kernels/errors';

/**
 * The safetensors file format: 8 bytes little-endian header length, a JSON header that gives every tensor its dtype,
 * shape and byte range, then the data. https://github.com/huggingface/safetensors#format
 */

/** Bytes per element, by the name of the dtype in lower case, as tensors name it. */
export const dtypeBytes = {
  f64: 8,
  i64: 8,
  u64: 8,
  f32: 4,
  i32: 4,
  u32: 4,
  bf16: 2,
  f16: 2,
  i16: 2,
  u16: 2,
  i8: 1,
  u8: 1,
  bool: 1,
} as const;

export type SafetensorsDtype = keyof typeof dtypeBytes;

/** What the header says about one tensor. */
export interface TensorInfo {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
}

/** Byte range of a tensor, counted from the first byte after the header. */
export interface TensorRange extends TensorInfo {
  readonly start: number;
  readonly end: number;
}

/** The reference implementation's cap; a longer header is an attack or damage. */
export const maxHeaderBytes = 100_000_000;
export const lengthPrefixBytes = 8;

/** Bytes that a tensor takes. Exact, or not a safe integer. */
export function tensorBytes({ dtype, shape }: TensorInfo): number {
  return shape.reduce((bytes, size) => bytes * size, dtypeBytes[dtype]);
}

/** An error about one file, and one tensor of it where that is known. Exit code 4. */
export function formatError(
  code: string,
  file: string,
  tensor: string | null,
  found: string,
  expected?: string,
): LongscanError {
  const where = tensor === null ? file : `${file} tensor ${JSON.stringify(tensor)}`;
  const fix = 'use another checkpoint, or copy this file again from where it came';
  return new LongscanError({ code, where, found, expected, fix, exitCode: 4 });
}
