import { modes } from '../scaling/modes.js';
import { usage } from '../usage.js';
import { defineCommand } from './command.js';
import { interruptible } from './interruptible.js';
import { jobPositional, place, setOption, sizeList, wholeNumber } from './options.js';

const mostSteps = 10_000;

export default defineCommand({
  name: 'scale',
  summary: 'a scaling curve: training steps timed at several numbers of sequence-parallel ranks, drawn',
  positionals: { job: jobPositional },
  options: {
    sp: { ...sizeList('--sp', 'numbers of ranks that a sequence is cut over'), demandOption: true },
    mode: {
      ...{ type: 'string', nargs: 1, choices: modes, demandOption: true },
      describe: 'what grows with sp: nothing (strong), the sequence (weak), the batch (batch)',
    },
    lengths: sizeList('--lengths', "tokens of a sequence at sp = 1, a curve for each; default: the job's"),
    out: {
      ...place(
        '--out',
        'folder of scaling.json, charts and report.html; what is there already is not measured again',
      ),
      default: 'scaling',
    },
    steps: { ...wholeNumber('--steps', 'steps that are timed in a launch', mostSteps), default: '30' },
    warmup: { ...wholeNumber('--warmup', 'steps in front of them', mostSteps), default: '5' },
    repeats: { ...wholeNumber('--repeats', 'launches of each point', 100), default: '3' },
    compute: {
      ...{ type: 'string', nargs: 1 },
      describe:
        'what ops cost, a preset or a file of bench step --save: simulated steps beside the measured ones',
    },
    again: { type: 'boolean', default: false, describe: 'measure these points anew' },
    set: setOption,
  },
  example: 'scale examples/moby-dick/job.toml --sp 1,2,4 --mode strong --out scaling',
  async run(args, terminal) {
    const { mode, sp: sps, repeats, again } = args;
    refuseUsage(args);
    const { scale } = await import('../scaling/scale.js');
    const { runOnRanks } = await import('../run-task.js');
    const { probeLinks } = await import('../probe/probe-links.js');
    const { stepRow } = await import('../step-row.js');
    const { scalingRows } = await import('../scaling/summary.js');
    const { definitionsOf, formatScaling } = await import('../scaling/report.js');
    const { simulateWith } = await import('../scaling/simulate-point.js');
    const { ProgressBar } = await import('../scaling/progress-bar.js');
    const bar = new ProgressBar(terminal.stderr, repeats);
    const simulate = args.compute === undefined ? null : await simulateWith(args.compute);
    const task = { kind: 'bench-step', numWarmUps: args.warmup, numSteps: args.steps } as const;
    const { scaling, files } = await interruptible((signal) =>
      scale({
        ...{ job: args.job, mode, sps, lengths: args.lengths ?? null, overrides: args.set, simulate },
        ...{ dir: args.out, numWarmUps: task.numWarmUps, numSteps: task.numSteps, repeats, again },
        measureWith:
          (modules) =>
          async ({ plan }) =>
            stepRow(args.job, plan, task.numWarmUps, await runOnRanks(task, plan, modules, { signal })),
        probeWith: (modules) => (plan) => probeLinks(plan, modules, signal),
        signal,
        onNote: (text) => bar.note(text),
        onProgress: (progress) => bar.show(progress),
        onFailure: ({ sp, sequenceLength }, { message }) =>
          bar.note(`sp ${sp}, ${sequenceLength} tokens failed, the others go on: ${message}`),
      }),
    );
    const rows = scalingRows(scaling);
    if (args.json) for (const row of rows) terminal.printJson(row);
    else terminal.print([formatScaling(rows), '', ...definitionsOf(mode), '', ...files].join('\n'));
    return rows.find(({ error }) => error !== null)?.error?.exitCode ?? 0;
  },
});

interface Usage {
  readonly steps: number;
  readonly repeats: number;
  readonly set: readonly string[];
}

function refuseUsage({ steps, repeats, set }: Usage): void {
  const problems = [
    ...(steps === 0 ? ['--steps 0: at least one step has to be timed'] : []),
    ...(repeats === 0 ? ['--repeats 0: each point needs a launch'] : []),
    ...set.filter((text) => /^\s*parallel\.sp\s*=/.test(text)).map((text) => `--set ${text}: --sp says that`),
  ];
  if (problems.length === 0) return;
  throw usage('longscan scale', problems.join('; '), null, 'longscan scale --help shows what it takes');
}
