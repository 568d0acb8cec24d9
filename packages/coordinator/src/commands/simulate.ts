import path from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { type Mode, modes } from '../scaling/modes.js';
import { mostRanks } from '../simulate/limits.js';
import { suggest } from '../spec/edit-distance.js';
import { loadJob } from '../spec/index.js';
import { listUnits } from '../units.js';
import { defineCommand } from './command.js';
import { jobPositional, setOption, sizeList } from './options.js';

export default defineCommand({
  name: 'simulate',
  summary: 'a scaling curve from the cost model: the schedule of every rank, simulated; starts nothing',
  positionals: { job: jobPositional },
  options: {
    sp: { ...sizeList('--sp', 'numbers of ranks that a sequence is cut over'), demandOption: true },
    mode: {
      ...{ type: 'string', nargs: 1, choices: modes, default: 'strong' as Mode },
      describe: 'what grows with sp: nothing (strong), the sequence (weak), the batch (batch)',
    },
    strategy: {
      ...{ type: 'string', nargs: 1 },
      describe: 'names with commas between them, or all; default: as in the job',
    },
    fabric: {
      ...{ type: 'string', nargs: 1 },
      describe: 'links between ranks: a preset or a fabric file; default: parallel.fabric of the job',
    },
    compute: {
      ...{ type: 'string', nargs: 1 },
      describe: 'what ops cost: a preset or a file of bench step --save; default: h200, or epyc on a CPU',
    },
    out: { type: 'string', nargs: 1, describe: 'folder for simulated.json and charts' },
    set: setOption,
  },
  example: 'simulate examples/moby-dick/job.toml --sp 8,64,256 --mode weak --fabric h100 --compute h100',
  async run(args, terminal) {
    const { mode } = args;
    const { simulateCurve } = await import('../simulate/simulate-curve.js');
    const { loadCompute } = await import('../compute/load-compute.js');
    const { fabricOf } = await import('../fabric/load-fabric.js');
    const { formatCurve, formatCrossings } = await import('../simulate/report.js');
    const { crossingsOf } = await import('../simulate/crossings.js');
    const overrides = [
      ...args.set,
      ...(args.fabric === undefined ? [] : [`parallel.fabric=${absolute(args.fabric)}`]),
    ];
    const { jobSpec } = await loadJob(args.job, {
      overrides: [...overrides, 'parallel.sp=1'],
      readsText: false,
    });
    const strategies = strategiesOf(args.strategy, jobSpec.parallel.strategy);
    refuseUsage(args, jobSpec.parallel.dp);
    const preset = jobSpec.device.kind === 'cuda' ? 'h200' : 'epyc';
    const compute = await loadCompute(args.compute ?? preset);
    const fabric = fabricOf(jobSpec);
    const { rows, notes, crossings, state } = await withBundleFiles(
      await bundleLayers(jobSpec.model.layers),
      async (modules) => ({
        ...(await simulateCurve(
          {
            ...{ job: args.job, mode, sps: args.sp, strategies, overrides, modules },
            skipsUnable: args.strategy === 'all',
          },
          { fabric, compute },
        )),
        ...(await crossingsOf(jobSpec, fabric, modules)),
      }),
    );
    const found = state === null ? [] : formatCrossings(crossings, state.stateBytes, fabric.name);
    const said = [...(fabric.notes ?? []), ...notes];
    if (args.json) for (const row of rows) terminal.printJson(row);
    else
      terminal.print(
        [`modelled: ${compute.name}; ${fabric.name}`, '', formatCurve(rows), '', ...found].join('\n'),
      );
    for (const note of said) terminal.note(`note: ${note}`);
    if (args.out !== undefined) {
      const { writeCurve } = await import('../simulate/write-curve.js');
      const files = await writeCurve(args.out, { mode, job: jobSpec.job.name, rows, crossings, notes: said });
      if (!args.json) terminal.print(['', ...files].join('\n'));
    }
    return 0;
  },
});

/** A job names files relative to itself, a command line to the working directory. */
function absolute(fabric: string): string {
  return /[/\\.]/.test(fabric) ? path.resolve(fabric) : fabric;
}

/** @throws LongscanError E-REG with every name that is none */
function strategiesOf(asked: string | undefined, ofJob: string): string[] {
  if (asked === undefined) return [ofJob];
  const installed = [...listUnits('sp')];
  if (asked === 'all') return installed;
  const known = [...installed, 'auto'];
  const names = asked.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length === 0) return [...new Set(names)];
  throw new LongscanError({
    code: 'E-REG',
    where: '--strategy',
    found: `unknown ${unknown.map((name) => JSON.stringify(name)).join(', ')}`,
    expected: `names of ${known.join(', ')}, or all`,
    fix: suggest(unknown[0]!, known),
    exitCode: 2,
  });
}

/** @throws LongscanError E-CLI-USAGE with every size that is too large, and what `--sp` and others say already */
function refuseUsage(
  { sp, set }: { readonly sp: readonly number[]; readonly set: readonly string[] },
  dp: number,
): void {
  const said = /^\s*parallel\.(sp|strategy)\s*=/;
  const problems = [
    ...sp
      .filter((size) => size * dp > mostRanks)
      .map((size) => `--sp ${size}: ${size * dp} ranks, more than the ${mostRanks} that are simulated`),
    ...set.flatMap((text) => {
      const key = said.exec(text)?.[1];
      return key === undefined ? [] : [`--set ${text}: --${key} says that`];
    }),
  ];
  if (problems.length === 0) return;
  throw new LongscanError({
    code: 'E-CLI-USAGE',
    where: 'longscan simulate',
    found: problems.join('; '),
    exitCode: 2,
  });
}
