import type { BenchShape } from '@longscan/worker/protocol';
import { usage } from '../usage.js';

const sizes = ['B', 'T', 'H', 'K', 'V'] as const satisfies readonly (keyof BenchShape)[];

const usualHead = { cpu: { H: 4, K: 64, V: 64 }, cuda: { H: 16, K: 128, V: 128 } } as const;

export type BenchDevice = keyof typeof usualHead;

/** Of one tensor: a tenth of what the addon counts. */
const maxElements = 1e14;

/** Flags of what is measured: `ops` may be named; `T` says what that is the length of. */
export function benchOptions(ops: readonly string[], T: string) {
  const repeated = { type: 'string', array: true, nargs: 1, default: [] as string[] } as const;
  return {
    op: { ...repeated, describe: `${ops.join(', ')}; may be repeated; default: all` },
    shape: {
      ...repeated,
      describe: `sizes in place of the usual ones, such as B=1,T=8192,H=16,K=128,V=128 (T: ${T}); may be repeated`,
    },
    dtype: {
      type: 'string',
      nargs: 1,
      choices: ['f32', 'bf16'],
      describe: 'of inputs and outputs; default: bf16 on cuda',
    },
  } as const;
}

/** How often each is run. */
export function roundsOf(rounds: number): number {
  if (rounds === 0) throw usage('--rounds', '0', 'at least one round');
  return rounds;
}

/** The sizes of `--shape`, or one for each of the usual lengths. */
export function shapesOf(
  given: readonly string[],
  device: BenchDevice,
  lengths: readonly number[],
): BenchShape[] {
  if (given.length > 0) return given.map((text) => parseShape(text, device, lengths[0]!));
  return lengths.map((T) => ({ B: 1, T, ...usualHead[device] }));
}

/** What `--dtype` says, or the device's own. */
export function dtypeOf(given: string | undefined, device: BenchDevice): 'f32' | 'bf16' {
  if (device === 'cpu' && given === 'bf16')
    throw usage('--dtype bf16', 'a type that CPUs only store', 'f32 with --device cpu');
  return (given ?? (device === 'cuda' ? 'bf16' : 'f32')) as 'f32' | 'bf16';
}

/** `T=8192,K=64`; what is not named is as usual. */
function parseShape(text: string, device: BenchDevice, usualLength: number): BenchShape {
  const shape: Record<keyof BenchShape, number> = { B: 1, T: usualLength, ...usualHead[device] };
  for (const part of text.split(',')) {
    const [, name, value] = /^([BTHKV])=([1-9]\d{0,8})$/.exec(part) ?? [];
    if (name === undefined)
      throw usage(`--shape ${text}`, `"${part}"`, `${sizes.join(', ')} = a size, parted by commas`);
    shape[name as keyof BenchShape] = Number(value);
  }
  const { B, T, H, K, V } = shape;
  const numElements = B * T * H * Math.max(K, V);
  if (numElements > maxElements)
    throw usage(`--shape ${text}`, `tensors of ${numElements} numbers`, `at most ${maxElements}`);
  return shape;
}
