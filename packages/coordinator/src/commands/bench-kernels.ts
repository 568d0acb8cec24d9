import { type BenchOp, type BenchShape, benchOps, LongscanError } from '@longscan/worker/protocol';
import { z } from 'zod';
import { formatBytes, formatTable } from '../format.js';
import { defineCommand } from './command.js';
import { interruptible } from './interruptible.js';
import { wholeNumber } from './options.js';

const sizes = ['B', 'T', 'H', 'K', 'V'] as const satisfies readonly (keyof BenchShape)[];

/** What is measured unless a shape is named: GPUs want sequences that fill them. */
const defaultLengths = { cpu: [4096, 16_384], cuda: [8192, 32_768, 131_072] } as const;
const defaultHead = { cpu: { H: 4, K: 64, V: 64 }, cuda: { H: 16, K: 128, V: 128 } } as const;

const measurementSchema = z.object({
  ...{ op: z.string(), T: z.number(), pass: z.enum(['forward', 'both']) },
  ...{ medianMs: z.number(), lowMs: z.number(), highMs: z.number() },
  ...{ bytesFloorMs: z.number(), bytesFraction: z.number() },
  ...{ flopsFloorMs: z.number().nullable(), flopsFraction: z.number().nullable() },
  extraBytes: z.number(),
});
const missingSchema = z.object({ op: z.string(), T: z.number(), pass: z.null(), missing: z.string() });
const resultSchema = z.object({
  machine: z.record(z.string(), z.unknown()),
  ceilings: z.object({ bytesPerSecond: z.number(), flopsPerSecond: z.number().nullable() }),
  rows: z.array(z.record(z.string(), z.unknown())),
});

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
    const { runTask } = await import('../run-task.js');
    const result = resultSchema.parse(await interruptible((signal) => runTask(task, { signal })));
    const { machine, ceilings, rows } = result;
    if (args.json) terminal.printJson(rows.map((row) => ({ ...row, machine, ceilings })));
    else {
      terminal.print(describeMachine(result));
      terminal.print(formatRows(rows));
    }
    return 0;
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
  return shape;
}

function usage(where: string, found: string, expected: string): LongscanError {
  return new LongscanError({ code: 'E-CLI-USAGE', where, found, expected, exitCode: 2 });
}

function describeMachine({ machine, ceilings }: z.infer<typeof resultSchema>): string {
  const name =
    machine.device === 'cuda' ? String(machine.name) : `CPU (${machine.level}), ${machine.threads} threads`;
  const arithmetic = ceilings.flopsPerSecond;
  const products = arithmetic === null ? 'not known' : `${(arithmetic / 1e12).toPrecision(3)} TFLOP/s`;
  return `${name}: copies at ${(ceilings.bytesPerSecond / 1e9).toPrecision(3)} GB/s, matrix products at ${products}`;
}

/** A table of what was measured, then what could not be. */
function formatRows(rows: readonly unknown[]): string {
  const header = ['op', 'T', 'pass', 'ms', '10 – 90 %', 'bytes floor', 'FLOP floor', 'extra memory'];
  const table: string[][] = [header];
  const missing: string[] = [];
  for (const row of rows) {
    const none = missingSchema.safeParse(row);
    if (none.success) {
      missing.push(`${none.data.op}, T = ${none.data.T}: ${none.data.missing}`);
      continue;
    }
    const m = measurementSchema.parse(row);
    table.push([
      ...[m.op, String(m.T), m.pass === 'both' ? 'forward + backward' : m.pass, m.medianMs.toPrecision(4)],
      `${m.lowMs.toPrecision(4)} – ${m.highMs.toPrecision(4)}`,
      `${m.bytesFloorMs.toPrecision(3)} ms = ${percent(m.bytesFraction)}`,
      m.flopsFloorMs === null ? '' : `${m.flopsFloorMs.toPrecision(3)} ms = ${percent(m.flopsFraction ?? 0)}`,
      formatBytes(m.extraBytes),
    ]);
  }
  return [formatTable(table, '<><>>>>>'), ...missing].join('\n');
}

function percent(fraction: number): string {
  return `${Math.round(100 * fraction)} %`;
}
