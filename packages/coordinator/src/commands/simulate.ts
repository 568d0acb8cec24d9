import path from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { requireFolder } from '../run-folder/on-disk.js';
import { type Mode, modes } from '../scaling/modes.js';
import { mostRanks } from '../simulate/limits.js';
import { suggest } from '../spec/edit-distance.js';
import { listUnits } from '../units.js';
import { usage } from '../usage.js';
import { defineCommand } from './command.js';
import { interruptible } from './interruptible.js';
import { jobPositional, place, setOption, sizeList } from './options.js';
import type { Terminal } from './terminal.js';

export default defineCommand({
  name: 'simulate',
  summary: 'a scaling curve from the cost model: the schedule of every rank, simulated; starts nothing',
  positionals: { job: { ...jobPositional, demandOption: false } },
  options: {
    sp: sizeList('--sp', 'numbers of ranks that a sequence is cut over'),
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
      describe: 'what ops cost: a preset or a file of bench step --save; default: h200, or cpu',
    },
    out: place('--out', 'folder for simulated.json and charts'),
    papers: {
      ...{ type: 'boolean', default: false },
      describe:
        "instead of a job: tables of ZeCO's and LASP-2's papers, and what the model says of each cell, and of the sizes of --sp",
    },
    set: setOption,
  },
  example: 'simulate examples/moby-dick/job.toml --sp 8,64,256 --mode weak --fabric h100 --compute h100',
  async run(args, terminal) {
    const { job, sp, mode, out, papers } = args;
    if (papers) return printPapers(args, terminal);
    if (job === undefined || sp === undefined) throw missing(job === undefined ? '<job>' : '--sp');
    const { loadJob } = await import('../spec/index.js');
    const { simulateCurve } = await import('../simulate/simulate-curve.js');
    const { loadCompute } = await import('../compute/load-compute.js');
    const { fabricOf, refuseProbe } = await import('../fabric/load-fabric.js');
    const { formatCurve, formatCrossings } = await import('../simulate/report.js');
    const { isForeign, withLayerCode } = await import('../layer-code/with-layer-code.js');
    const { CurveLine } = await import('../simulate/curve-line.js');
    const overrides = [
      ...args.set,
      ...(args.fabric === undefined ? [] : [`parallel.fabric=${absolute(args.fabric)}`]),
    ];
    const { jobSpec } = await loadJob(job, { overrides: [...overrides, 'parallel.sp=1'], readsText: false });
    const strategies = strategiesOf(args.strategy, jobSpec.parallel.strategy);
    refuseUsage(sp, args.set, jobSpec.parallel.dp);
    refuseProbe(jobSpec);
    if (out !== undefined) requireFolder(path.resolve(out), '--out');
    const compute = loadCompute(args.compute ?? (jobSpec.device.kind === 'cuda' ? 'h200' : 'cpu'));
    const fabric = fabricOf(jobSpec);
    const line = new CurveLine(args.json ? null : terminal.stderr);
    const { rows, notes, crossings, state } = await withBundleFiles(
      await bundleLayers(jobSpec.model.layers),
      (modules) => {
        const simulated = (signal?: AbortSignal) =>
          withLayerCode(modules, { name: jobSpec.job.name, signal }, async (code) => {
            const request = { job, mode, sps: sp, strategies, overrides, code };
            const skipsUnable = args.strategy === 'all';
            const costs = { fabric, compute };
            const curve = await simulateCurve({ ...request, skipsUnable }, costs, (stage) =>
              line.show(stage),
            );
            line.showCrossings();
            return { ...curve, ...(await code.compute('crossingsOf', jobSpec, fabric)) };
          });
        // Where no thread is started a signal ends the process as ever.
        return isForeign(modules) ? interruptible(simulated) : simulated();
      },
    ).finally(() => line.clear());
    const found = state === null ? [] : formatCrossings(crossings, state.stateBytes, fabric.name);
    const short = rows.flatMap(({ sp, strategy, shortage }) =>
      shortage === null ? [] : [`sp = ${sp}, ${strategy}: ${shortage}`],
    );
    const said = [...(fabric.notes ?? []), ...(compute.notes ?? []), ...notes, ...short];
    if (args.json) for (const row of rows) terminal.printJson(row);
    else {
      const heading = `modelled: ${compute.name}; ${fabric.name}`;
      terminal.print([heading, '', formatCurve(rows), '', ...found].join('\n'));
    }
    for (const note of said) terminal.note(`note: ${note}`);
    if (out !== undefined) {
      const { writeCurve } = await import('../simulate/write-curve.js');
      const { publishedCurves } = await import('../papers/published-curves.js');
      const published = publishedCurves(mode, sp[0]!, sp.at(-1)!);
      const { name } = jobSpec.job;
      const files = await writeCurve(out, { mode, job: name, rows, published, crossings, notes: said });
      if (!args.json) terminal.print(['', ...files].join('\n'));
    }
    return 0;
  },
});

interface PapersArgs {
  readonly json: boolean;
  readonly job?: string;
  readonly sp?: readonly number[];
  readonly out?: string;
}

async function printPapers({ json, job, sp = [], out }: PapersArgs, terminal: Terminal): Promise<number> {
  if (job !== undefined) throw refused(`${job} and --papers: the papers' jobs are simulated, or yours`);
  refuseUsage(sp, [], 1);
  if (out !== undefined) requireFolder(path.resolve(out), '--out');
  const { reproductions } = await import('../papers/index.js');
  const { formatReproduction } = await import('../papers/report.js');
  const { writeReproductions } = await import('../papers/write-reproductions.js');
  const made = [];
  for (const [name, reproduce] of Object.entries(reproductions)) {
    const reproduction = await reproduce(sp);
    made.push({ name, reproduction });
    const { table, cells, further } = reproduction;
    const { source, title, unit } = table;
    if (json) for (const each of [...cells, ...further]) terminal.printJson({ source, title, unit, ...each });
    else terminal.print(`${formatReproduction(reproduction)}\n`);
  }
  if (out !== undefined) {
    const files = await writeReproductions(out, made);
    if (!json) terminal.print(files.join('\n'));
  }
  return 0;
}

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
function refuseUsage(sps: readonly number[], set: readonly string[], dp: number): void {
  const said = /^\s*parallel\.(sp|strategy)\s*=/;
  const problems = [
    ...sps
      .filter((size) => size * dp > mostRanks)
      .map((size) => `--sp ${size}: ${size * dp} ranks, more than the ${mostRanks} that are simulated`),
    ...set.flatMap((text) => {
      const key = said.exec(text)?.[1];
      return key === undefined ? [] : [`--set ${text}: --${key} says that`];
    }),
  ];
  if (problems.length > 0) throw refused(problems.join('; '));
}

function missing(what: string): LongscanError {
  return refused(`${what} is missing, which only --papers does without`);
}

function refused(found: string): LongscanError {
  return usage('longscan simulate', found, null, 'longscan simulate --help shows what it takes');
}
