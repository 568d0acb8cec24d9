import {
  dtypeBytes,
  formatError,
  lengthPrefixBytes,
  type SafetensorsDtype,
  type TensorInfo,
  type TensorRange,
  tensorBytes,
} from './safetensors-format.js';

/**
 * Lays tensors out one behind the other and returns the file's first bytes and every tensor's range. Wide dtypes come
 * first, so every tensor is aligned to its element size.
 */
export function encodeHeader(tensors: ReadonlyMap<string, TensorInfo>): {
  header: Buffer;
  ranges: Map<string, TensorRange>;
} {
  const ranges = new Map<string, TensorRange>();
  let offset = 0;
  const byWidth = [...tensors].sort(([, a], [, b]) => dtypeBytes[b.dtype] - dtypeBytes[a.dtype]);
  for (const [name, { dtype, shape }] of byWidth) {
    const end = offset + tensorBytes({ dtype, shape });
    ranges.set(name, { dtype, shape, start: offset, end });
    offset = end;
  }
  const entries = [...ranges].map(([name, { dtype, shape, start, end }]) => {
    const entry = { dtype: dtype.toUpperCase(), shape, data_offsets: [start, end] };
    return `${JSON.stringify(name)}:${JSON.stringify(entry)}`;
  });
  const json = Buffer.from(`{${entries.join(',')}}`);
  // Padded with spaces, as the format allows, so that the data starts at a multiple of 8.
  const jsonBytes = Math.ceil(json.length / 8) * 8;
  const header = Buffer.alloc(lengthPrefixBytes + jsonBytes, ' ');
  header.writeBigUInt64LE(BigInt(jsonBytes));
  json.copy(header, lengthPrefixBytes);
  return { header, ranges };
}

/**
 * Reads the JSON part of a header and checks it against the number of data bytes in the file: every byte belongs to
 * exactly one tensor. Errors: E-ST-HEADER, -DTYPE, -SHAPE, -OFFSETS, -TRUNCATED, -TRAILING, each with the tensor.
 */
export function decodeHeader(json: Uint8Array, dataBytes: number, file: string): Map<string, TensorRange> {
  const tensors = new Map<string, TensorRange>();
  for (const [name, entry] of Object.entries(parseObject(json, file))) {
    if (name === '__metadata__') checkMetadata(entry, file);
    else tensors.set(name, decodeEntry(name, entry, file));
  }
  checkCoverage(tensors, dataBytes, file);
  return tensors;
}

function parseObject(json: Uint8Array, file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    throw formatError('E-ST-HEADER', file, null, `header is not UTF-8 JSON (${(cause as Error).message})`);
  }
  if (!isObject(value)) throw formatError('E-ST-HEADER', file, null, 'header is not a JSON object');
  return value;
}

function checkMetadata(entry: unknown, file: string): void {
  if (isObject(entry) && Object.values(entry).every((value) => typeof value === 'string')) return;
  throw formatError('E-ST-HEADER', file, '__metadata__', 'not an object of strings');
}

function decodeEntry(name: string, entry: unknown, file: string): TensorRange {
  const { dtype, shape, data_offsets: offsets, ...rest } = isObject(entry) ? entry : {};
  if (Object.keys(rest).length > 0)
    throw formatError('E-ST-HEADER', file, name, `unknown key ${Object.keys(rest)[0]}`);
  if (!isDtype(dtype)) {
    const known = Object.keys(dtypeBytes).join(', ').toUpperCase();
    throw formatError('E-ST-DTYPE', file, name, `dtype ${JSON.stringify(dtype)}`, `one of ${known}`);
  }
  if (!isCounts(shape))
    throw formatError('E-ST-SHAPE', file, name, `shape ${JSON.stringify(shape)}`, 'counts');
  if (!isCounts(offsets) || offsets.length !== 2)
    throw formatError('E-ST-OFFSETS', file, name, `offsets ${JSON.stringify(offsets)}`, 'two counts');
  const info = { dtype: dtype.toLowerCase() as SafetensorsDtype, shape };
  const [start, end] = offsets as [number, number];
  const bytes = tensorBytes(info);
  if (!Number.isSafeInteger(bytes))
    throw formatError('E-ST-SHAPE', file, name, `shape [${shape.join(', ')}]`, 'fewer than 2^53 bytes');
  if (end - start !== bytes)
    throw formatError(
      'E-ST-OFFSETS',
      file,
      name,
      `${end - start} bytes`,
      `${bytes} for ${dtype} [${shape.join(', ')}]`,
    );
  return { ...info, start, end };
}

function checkCoverage(tensors: ReadonlyMap<string, TensorRange>, dataBytes: number, file: string): void {
  let covered = 0;
  const inOrder = [...tensors].sort(([, a], [, b]) => a.start - b.start || a.end - b.end);
  for (const [name, { start, end }] of inOrder) {
    if (start !== covered) {
      const what = start > covered ? 'leaves a hole' : 'overlaps the tensor before it';
      throw formatError('E-ST-OFFSETS', file, name, `starts at byte ${start} and ${what}`, `byte ${covered}`);
    }
    covered = end;
    if (end > dataBytes) {
      const found = `ends at byte ${end} of the data`;
      throw formatError('E-ST-TRUNCATED', file, name, found, `at most ${dataBytes}, where the file ends`);
    }
  }
  if (covered < dataBytes)
    throw formatError(
      'E-ST-TRAILING',
      file,
      null,
      `${dataBytes - covered} bytes that belong to no tensor`,
      'none',
    );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isDtype(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value === value.toUpperCase() &&
    Object.hasOwn(dtypeBytes, value.toLowerCase())
  );
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
