import { type BenchShape, benchRecurrences, recurrencesResultSchema } from '@longscan/worker/protocol';
import { groupSize } from '../collectives/group-size.js';
import { formatRecurrences, recurrenceRows } from '../recurrence-rows.js';
import { TaskLine } from '../task-line.js';
import { usage } from '../usage.js';
import { type BenchDevice, benchOptions, dtypeOf, roundsOf, shapesOf } from './bench-shapes.js';
import { defineCommand } from './command.js';
import { groupOptions, groupPositionals, jobOfGroup, onGroup } from './group-job.js';
import { wholeNumber } from './options.js';
import { knownWords } from './wrong-word.js';

/** Tokens of the whole sequence. */
const usualLengths = { cpu: [2048], cuda: [65_536, 262_144] } as const;

export default defineCommand({
  name: 'bench recurrences',
  summary:
    'time recurrences over a sequence on several ranks, under each SP strategy, beside each slice alone',
  positionals: groupPositionals,
  options: {
    ...groupOptions,
    ...benchOptions(benchRecurrences, 'of the whole sequence, over all ranks'),
    strategy: {
      ...{ type: 'string', array: true, nargs: 1, default: [] as string[] },
      describe: 'a strategy; may be repeated; default: all',
    },
    rounds: { ...wholeNumber('--rounds', 'times that each is run', 10_000), default: '10' },
  },
  example: 'bench recurrences --sp 2 --op gla --shape T=4096,H=4,K=64,V=64',
  async run(args, terminal) {
    const jobSpec = await jobOfGroup(args);
    const numRanks = groupSize(jobSpec);
    const device: BenchDevice = jobSpec.device.kind;
    const task = {
      kind: 'bench-recurrences',
      ops: knownWords('--op', 'recurrence', args.op, benchRecurrences),
      shapes: sharedShapes(args.shape, device, numRanks),
      dtype: dtypeOf(args.dtype, device),
      ...(await strategiesOf(args.strategy)),
      numRounds: roundsOf(args.rounds),
    } as const;
    const { runOnRanks } = await import('../run-task.js');
    const line = new TaskLine(args.json ? null : terminal.stderr);
    line.begin();
    const results = await onGroup(jobSpec, (plan, modules, options) =>
      runOnRanks(task, plan, modules, { ...options, onProgress: (progress) => line.show(progress) }),
    ).finally(() => line.clear());
    const measured = recurrenceRows(
      results.slice(0, numRanks).map((result) => recurrencesResultSchema.parse(result)),
    );
    if (args.json) terminal.printJson(measured.rows);
    else terminal.print(formatRecurrences(measured));
    return measured.rows.some((row) => !('missing' in row)) ? 0 : 3;
  },
});

/** Every rank has as many tokens: usual lengths are rounded up to that, others have to be such. */
function sharedShapes(given: readonly string[], device: BenchDevice, numRanks: number): BenchShape[] {
  const whole = (T: number): number => numRanks * Math.ceil(T / numRanks);
  const shapes = shapesOf(given, device, usualLengths[device].map(whole));
  for (const [i, { T }] of shapes.entries()) {
    if (T % numRanks > 0)
      throw usage(
        `--shape ${given[i]}`,
        `T=${T}, tokens of ${numRanks} ranks`,
        'as many for each',
        `T=${whole(T)}`,
      );
  }
  return shapes;
}

async function strategiesOf(given: readonly string[]): Promise<{ strategies?: string[] }> {
  if (given.length === 0) return {};
  const { loadStrategies } = await import('../plan/strategies.js');
  const installed = (await loadStrategies()).map(({ name }) => name);
  return { strategies: knownWords('--strategy', 'strategy', given, installed) };
}
