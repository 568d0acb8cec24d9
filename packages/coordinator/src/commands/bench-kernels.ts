import { benchOps } from '@longscan/worker/protocol';
import { benchResultSchema, describeMachine, formatRows, isMeasured, rowsForJson } from '../kernel-rows.js';
import { readPeerTimes } from '../peer-times.js';
import { TaskLine } from '../task-line.js';
import { type BenchDevice, benchOptions, dtypeOf, roundsOf, shapesOf } from './bench-shapes.js';
import { defineCommand } from './command.js';
import { interruptible } from './interruptible.js';
import { wholeNumber } from './options.js';
import { knownWords } from './wrong-word.js';

/** What is measured unless a shape is named: GPUs want sequences that fill them. */
const usualLengths = { cpu: [4096, 16_384], cuda: [8192, 32_768, 131_072, 524_288, 1_048_576] } as const;

export default defineCommand({
  name: 'bench kernels',
  summary: 'time the recurrences, beside what the machine could do at most',
  positionals: {},
  options: {
    device: { type: 'string', nargs: 1, choices: ['cpu', 'cuda'], default: 'cpu', describe: 'where' },
    ...benchOptions(benchOps, 'tokens of a sequence'),
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
    const device = args.device as BenchDevice;
    const task = {
      kind: 'bench-kernels',
      device,
      ops: knownWords('--op', 'op', args.op, benchOps),
      shapes: shapesOf(args.shape, device, usualLengths[device]),
      dtype: dtypeOf(args.dtype, device),
      numRounds: roundsOf(args.rounds),
    } as const;
    const peer = args.beside === undefined ? null : readPeerTimes(args.beside);
    const { runTask } = await import('../run-task.js');
    const line = new TaskLine(args.json ? null : terminal.stderr);
    line.begin();
    const run = interruptible((signal) =>
      runTask(task, { signal, onProgress: (progress) => line.show(progress) }),
    );
    const result = benchResultSchema.parse(await run.finally(() => line.clear()));
    if (args.json) terminal.printJson(rowsForJson(result, peer));
    else {
      terminal.print(describeMachine(result));
      terminal.print(formatRows(result.rows, peer));
    }
    return isMeasured(result) ? 0 : 3;
  },
});
