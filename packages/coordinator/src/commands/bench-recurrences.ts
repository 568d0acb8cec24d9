import { type BenchShape, benchRecurrences, recurrencesResultSchema } from '@longscan/worker/protocol';
import { groupSize } from '../collectives/group-size.js';
import { formatRecurrences, recurrenceRows } from '../recurrence-rows.js';
import { type BenchDevice, benchOptions, dtypeOf, opsOf, shapesOf, usage } from './bench-shapes.js';
import { defineCommand } from './command.js';
import { groupOptions, groupPositionals, jobOfGroup, onGroup } from './group-job.js';
import { wholeNumber } from './options.js';

/** Tokens of the whole sequence. */
const usualLengths = { cpu: [8192], cuda: [65_536, 262_144] } as const;

export default defineCommand({
  name: 'bench recurrences',
  summary:
    'time recurrences over a sequence on several ranks, under each SP strategy, beside each slice alone',
  positionals: groupPositionals,
  options: {
    ...groupOptions,
    ...benchOptions(benchRecurrences),
    strategy: {
      ...{ type: 'string', array: true, nargs: 1, default: [] as string[] },
      describe: 'a strategy; may be repeated; default: all',
    },
    rounds: { ...wholeNumber('--rounds', 'times that each is run', 10_000), default: '20' },
  },
  example: 'bench recurrences --sp 2 --op gla --shape T=4096,H=4,K=64,V=64',
  async run(args, terminal) {
    const jobSpec = await jobOfGroup(args);
    const numRanks = groupSize(jobSpec);
    const device: BenchDevice = jobSpec.device.kind;
    const task = {
      kind: 'bench-recurrences',
      ops: opsOf(args.op, benchRecurrences),
      shapes: shapesOf(args.shape, device, usualLengths[device]).map((shape) => shared(shape, numRanks)),
      dtype: dtypeOf(args.dtype, device),
      ...(await strategiesOf(args.strategy)),
      numRounds: Math.max(1, args.rounds),
    } as const;
    const { runOnRanks } = await import('../run-task.js');
    const results = await onGroup(jobSpec, (plan, modules, options) =>
      runOnRanks(task, plan, modules, options),
    );
    const measured = recurrenceRows(
      results.slice(0, numRanks).map((result) => recurrencesResultSchema.parse(result)),
    );
    if (args.json) terminal.printJson(measured.rows);
    else terminal.print(formatRecurrences(measured));
    return measured.rows.some((row) => !('missing' in row)) ? 0 : 3;
  },
});

/** Every rank has as many tokens. */
function shared(shape: BenchShape, numRanks: number): BenchShape {
  if (shape.T % numRanks === 0) return shape;
  const T = numRanks * Math.ceil(shape.T / numRanks);
  throw usage('--shape', `T=${shape.T}, tokens of ${numRanks} ranks`, 'as many for each', `T=${T}`);
}

async function strategiesOf(names: readonly string[]): Promise<{ strategies?: string[] }> {
  if (names.length === 0) return {};
  const { loadStrategies } = await import('../plan/strategies.js');
  const installed = (await loadStrategies()).map(({ name }) => name);
  for (const name of names) {
    if (!installed.includes(name))
      throw usage(`--strategy ${name}`, 'no strategy of this name', `one of ${installed.join(', ')}`);
  }
  return { strategies: [...new Set(names)] };
}
