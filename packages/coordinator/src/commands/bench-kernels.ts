import { type BenchOp, type BenchShape, benchOps, LongscanError } from '@longscan/worker/protocol';
import { benchResultSchema, describeMachine, formatRows, isMeasured, rowsForJson } from '../kernel-rows.js';
import { readPeerTimes } from '../peer-times.js';
import { defineCommand } from './command.js';
import { interruptible } from './interruptible.js';
import { wholeNumber } from './options.js';

const sizes = ['B', 'T', 'H', 'K', 'V'] as const satisfies readonly (keyof BenchShape)[];

/** What is measured unless a shape is named: GPUs want sequences that fill them. */
const defaultLengths = { cpu: [4096, 16_384], cuda: [8192, 32_768, 131_072, 524_288, 1_048_576] } as const;
const defaultHead = { cpu: { H: 4, K: 64, V: 64 }, cuda: { H: 16, K: 128, V: 128 } } as const;

/** Of one tensor: a tenth of what the addon counts. */
const maxElements = 1e14;

export default defineCommand({
  name: 'bench kernels',
  summary: 'time the recurrences, beside what the machine could do at most',
  positionals: {},
  options: {
    device: { type: 'string', nargs: 1, choices: ['cpu', 'cuda'], default: 'cpu', describe: 'where' },
    op: {
      type: 'string',
      array: true,
      nargs: 1,
      default: [] as string[],
      describe: `${benchOps.join(', ')}; may be repeated; default: all`,
    },
    shape: {
      type: 'string',
      array: true,
      nargs: 1,
      default: [] as string[],
      describe: 'sizes in place of the usual ones, such as B=1,T=8192,H=16,K=128,V=128; may be repeated',
    },
    dtype: {
      type: 'string',
      nargs: 1,
      choices: ['f32', 'bf16'],
      describe: 'of inputs and outputs; default: bf16 on cuda',
    },
    beside: {
      type: 'string',
      nargs: 1,
      describe:
        'kernels.json of scripts/peers/bench_kernels.py: adds the times and ratios of other libraries',
    },
    rounds: { ...wholeNumber('--rounds', 'times that each is run', 10_000), default: '30' },
  },
  example: 'bench kernels --op gla --shape T=4096,H=4,K=64,V=64',
  async run(args, terminal) {
    const device = args.device as 'cpu' | 'cuda';
    if (device === 'cpu' && args.dtype === 'bf16')
      throw usage('--dtype bf16', 'a type that CPUs only store', 'f32 with --device cpu');
    const task = {
      kind: 'bench-kernels',
      device,
      ops: args.op.length > 0 ? args.op.map(knownOp) : [...benchOps],
      shapes:
        args.shape.length > 0 ? args.shape.map((text) => parseShape(text, device)) : usualShapes(device),
      dtype: (args.dtype ?? (device === 'cuda' ? 'bf16' : 'f32')) as 'f32' | 'bf16',
      numRounds: Math.max(1, args.rounds),
    } as const;
    const peer = args.beside === undefined ? null : readPeerTimes(args.beside);
    const { runTask } = await import('../run-task.js');
    const result = benchResultSchema.parse(await interruptible((signal) => runTask(task, { signal })));
    if (args.json) terminal.printJson(rowsForJson(result, peer));
    else {
      terminal.print(describeMachine(result));
      terminal.print(formatRows(result.rows, peer));
    }
    return isMeasured(result) ? 0 : 3;
  },
});

function knownOp(name: string): BenchOp {
  const known = benchOps.find((op) => op === name);
  if (known !== undefined) return known;
  throw usage(`--op ${name}`, 'no recurrence of this name', `one of ${benchOps.join(', ')}`);
}

function usualShapes(device: 'cpu' | 'cuda'): BenchShape[] {
  return defaultLengths[device].map((T) => ({ B: 1, T, ...defaultHead[device] }));
}

/** `T=8192,K=64`; what is not named is as usual. */
function parseShape(text: string, device: 'cpu' | 'cuda'): BenchShape {
  const shape: Record<keyof BenchShape, number> = {
    B: 1,
    T: defaultLengths[device][0],
    ...defaultHead[device],
  };
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

function usage(where: string, found: string, expected: string): LongscanError {
  return new LongscanError({
    code: 'E-CLI-USAGE',
    where,
    found,
    expected,
    exitCode: 2,
    fix: 'longscan bench kernels --help shows what it takes',
  });
}
