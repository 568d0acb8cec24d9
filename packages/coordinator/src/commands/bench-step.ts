import { resolve } from 'node:path';
import type { JobSpec } from '@longscan/worker/protocol';
import type { LoadJob } from '../compute/measured-shapes.js';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { writeFileOnDisk } from '../run-folder/on-disk.js';
import { formatStepRow, stepRow } from '../step-row.js';
import { usage } from '../usage.js';
import { defineCommand } from './command.js';
import { interruptible } from './interruptible.js';
import { place, setOption, traceOption, wholeNumber } from './options.js';
import type { Terminal } from './terminal.js';
import { prepareTraceFolder, requireTraceWindow } from './traced-step.js';
import { requireWritable } from './writable-file.js';

const mostSteps = 10_000;
/** Of traces. */
const usualFolder = 'traced-step';

export default defineCommand({
  name: 'bench step',
  summary: "time whole training steps of a job's model, on random tokens: no text is read",
  positionals: {
    job: {
      type: 'string',
      describe: 'job file (.toml, .yaml or .json); default: a job with nothing but defaults',
    },
  },
  options: {
    set: setOption,
    device: { type: 'string', nargs: 1, choices: ['cpu', 'cuda'], describe: 'where; default: as in the job' },
    steps: { ...wholeNumber('--steps', 'steps that are timed', mostSteps), default: '30' },
    warmup: { ...wholeNumber('--warmup', 'steps in front of them', mostSteps), default: '5' },
    trace: traceOption,
    out: place(
      '--out',
      `folder for the traces of the ranks, and trace.json; with --trace; default: ${usualFolder}`,
    ),
    save: place(
      '--save',
      'measure one rank at several shapes instead and write what ops cost, for simulate --compute (.json)',
    ),
  },
  example: 'bench step examples/moby-dick/job.toml --set data.sequenceLength=8192 --steps 10',
  async run(args, terminal) {
    refuseUsage(args);
    const { loadJob } = await import('../spec/index.js');
    const device = args.device === undefined ? [] : [`device.kind=${args.device}`];
    // The default job's text is not looked for.
    const job = args.job ?? { data: { path: 'random tokens' } };
    const { jobSpec } = await loadJob(job, { overrides: [...args.set, ...device], readsText: false });
    if (args.save !== undefined) {
      requireWritable('--save', args.save);
      const steps = { numWarmUps: args.warmup, numSteps: args.steps };
      const load = async (overrides: readonly string[]) => {
        const all = [...args.set, ...device, ...overrides];
        return (await loadJob(job, { overrides: all, readsText: false })).jobSpec;
      };
      return saveCosts(args.save, jobSpec, load, steps, args.json, terminal);
    }
    const { trace } = args;
    const steps = { numWarmUps: args.warmup, numSteps: args.steps };
    const task = { kind: 'bench-step', ...steps, ...(trace !== undefined && { trace }) } as const;
    const { planOnLinks } = await import('../probe/plan-on-links.js');
    const { runOnRanks } = await import('../run-task.js');
    const row = await withBundleFiles(await bundleLayers(jobSpec.model.layers), async (modules) => {
      return interruptible(async (signal) => {
        const { plan, probed } = await planOnLinks(jobSpec, modules, { signal });
        if (probed !== null) for (const note of plan.fabric?.notes ?? []) terminal.note(`note: ${note}`);
        const outDir = trace === undefined ? undefined : prepareTraceFolder(args.out ?? usualFolder);
        const results = await runOnRanks(task, plan, modules, { signal, outDir });
        if (outDir !== undefined) await mergeInto(outDir, terminal);
        return stepRow(args.job ?? null, plan, task.numWarmUps, results);
      });
    });
    if (args.json) terminal.printJson([row]);
    else terminal.print(formatStepRow(row));
    return 0;
  },
});

interface Usage {
  readonly steps: number;
  readonly warmup: number;
  readonly trace?: string | undefined;
  readonly out?: string | undefined;
  readonly save?: string | undefined;
}

function refuseUsage({ steps, warmup, trace, out, save }: Usage): void {
  const fix = 'longscan bench step --help shows what it takes';
  if (steps === 0) throw usage('--steps', '0', 'at least one step', fix);
  if (trace !== undefined && save !== undefined) throw usage('--trace', 'it with --save', 'one of them', fix);
  if (trace === undefined && out !== undefined)
    throw usage('--out', 'it without --trace', 'both of them', fix);
  if (trace !== undefined) requireTraceWindow(trace, warmup + steps);
}

/** Merges the ranks' traces and says where they are. */
async function mergeInto(dir: string, terminal: Terminal): Promise<void> {
  const { mergeTraces } = await import('../run-folder/merge-traces.js');
  const merged = await mergeTraces(dir);
  if (merged === null) return;
  for (const note of merged.notes) terminal.note(`note: ${note}`);
  terminal.note(`the traces of ranks ${merged.ranks.join(', ')} are in ${merged.path}: open it in Perfetto`);
}

/** Measures what the job's ops cost and writes it into a file. */
async function saveCosts(
  path: string,
  { model }: JobSpec,
  load: LoadJob,
  steps: { readonly numWarmUps: number; readonly numSteps: number },
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  const { measureCompute } = await import('../compute/measure-compute.js');
  const { formatCosts } = await import('../compute/format-costs.js');
  const { file, notes } = await withBundleFiles(await bundleLayers(model.layers), (modules) =>
    interruptible((signal) =>
      measureCompute(load, { modules, signal, ...steps, log: (line) => terminal.note(line) }),
    ),
  );
  writeFileOnDisk(path, `${JSON.stringify(file, null, 2)}\n`, '--save');
  if (json) terminal.printJson(file);
  else terminal.print(formatCosts(file));
  for (const note of notes) terminal.note(`note: ${note}`);
  terminal.note(`costs written to ${resolve(path)}`);
  return 0;
}
