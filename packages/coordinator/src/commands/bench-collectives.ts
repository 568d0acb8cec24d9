import { resolve } from 'node:path';
import {
  type JobSpec,
  LongscanError,
  type MeasuredTransition,
  measuredTransitions,
} from '@longscan/worker/protocol';
import { assumedFabric } from '../fabric/load-fabric.js';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { writeFileOnDisk } from '../run-folder/on-disk.js';
import { byteSize, byteSizes } from './byte-options.js';
import { defineCommand } from './command.js';
import { interruptible } from './interruptible.js';
import { place, setOption, wholeNumber } from './options.js';
import { requireWritable } from './writable-file.js';

const usualRanks = 2;
const usualBytes = { min: 8, max: 64 * 2 ** 20 };
/** From one size to the next. */
const sizeFactor = 8;

export default defineCommand({
  name: 'bench collectives',
  summary: 'time messages, collectives and whole SP strategies between ranks, and fit what their links cost',
  positionals: {
    job: {
      type: 'string',
      describe: `job file whose ranks are measured; default: ${usualRanks} ranks on this machine`,
    },
  },
  options: {
    set: setOption,
    sp: wholeNumber('--sp', 'ranks of a sequence, in place of parallel.sp', 65_536),
    device: { type: 'string', nargs: 1, choices: ['cpu', 'cuda'], describe: 'where; default: as in the job' },
    sizes: byteSizes('--sizes', 'bytes to measure, such as 8,64K,2M'),
    'min-bytes': byteSize('--min-bytes', `smallest size, ${sizeFactor} times as much each time; default: 8`),
    'max-bytes': byteSize('--max-bytes', 'largest size; default: 64M'),
    transition: {
      ...{ type: 'string', nargs: 1, choices: measuredTransitions, default: 'identity' },
      describe: 'class of M in the scans: what travels beside the state, and how states are combined',
    },
    rounds: { ...wholeNumber('--rounds', 'times that everything is measured', 1000), default: '3' },
    save: place(
      '--save',
      'write the fitted links as a fabric file (.json), for parallel.fabric and --fabric',
    ),
  },
  example: 'bench collectives --sp 2 --max-bytes 2M --save fabric.json',
  async run(args, terminal) {
    if (args.rounds === 0) throw usage('--rounds', '0', 'at least one round');
    const task = {
      kind: 'bench-collectives',
      sizes: sizesOf(args),
      transition: args.transition as MeasuredTransition,
      numRounds: args.rounds,
    } as const;
    if (args.save !== undefined) requireWritable('--save', args.save);
    const jobSpec = await jobOf(args);
    const { planJob } = await import('../plan/index.js');
    const { measureGroup } = await import('../collectives/measure-group.js');
    const { fabricFileOf } = await import('../collectives/measured.js');
    const { formatCollectives } = await import('../collectives/format.js');
    const measured = await withBundleFiles(await bundleLayers(jobSpec.model.layers), async (modules) => {
      const plan = await planJob(jobSpec, modules, assumedFabric(jobSpec));
      return interruptible((signal) => measureGroup(task, plan, modules, { signal }));
    });
    if (args.json) {
      for (const row of measured.rows) terminal.printJson(row);
      terminal.printJson({ fit: measured.fit && { ...measured.fit, handOverS: measured.handOverS } });
    } else terminal.print(formatCollectives(measured));
    if (args.save === undefined) return 0;
    writeFileOnDisk(args.save, `${JSON.stringify(fabricFileOf(measured), null, 2)}\n`, '--save');
    terminal.note(`links written to ${resolve(args.save)}`);
    return 0;
  },
});

interface SizeArgs {
  readonly sizes: number[] | undefined;
  readonly 'min-bytes': number | undefined;
  readonly 'max-bytes': number | undefined;
}

function sizesOf({ sizes, 'min-bytes': min, 'max-bytes': max }: SizeArgs): number[] {
  if (sizes !== undefined) {
    if (min === undefined && max === undefined) return sizes;
    throw usage('--sizes', 'it with --min-bytes or --max-bytes', 'a list of sizes or a range of them');
  }
  const [first, last] = [min ?? usualBytes.min, max ?? usualBytes.max];
  if (first > last) throw usage('--min-bytes', `${first}, more than --max-bytes ${last}`, 'at most as much');
  const range: number[] = [];
  for (let bytes = first; bytes < last; bytes *= sizeFactor) range.push(bytes);
  return [...range, last];
}

interface JobArgs {
  readonly job: string | undefined;
  readonly sp: number | undefined;
  readonly device: string | undefined;
  readonly set: readonly string[];
}

/** The job whose ranks are measured. Its text is not looked for. */
async function jobOf({ job, sp, device, set }: JobArgs): Promise<JobSpec> {
  if (sp === 0) throw usage('--sp', '0', 'at least one rank', '--sp 2');
  const numRanks = sp ?? (job === undefined ? usualRanks : undefined);
  // A slice needs a chunk of 64 tokens, whatever is done with it.
  const links = { data: { path: 'no text', sequenceLength: 64 * (numRanks ?? 1) } };
  const overrides = [
    ...(numRanks === undefined ? [] : [`parallel.sp=${numRanks}`]),
    ...set,
    ...(device === undefined ? [] : [`device.kind=${device}`]),
  ];
  const { loadJob } = await import('../spec/index.js');
  const { jobSpec } = await loadJob(job ?? links, { overrides, readsText: false });
  if (jobSpec.parallel.sp * jobSpec.parallel.dp > 1) return jobSpec;
  throw usage(
    sp === undefined ? 'parallel.sp' : '--sp',
    'one rank, which has no links',
    'two or more',
    '--sp 2',
  );
}

function usage(where: string, found: string, expected: string, fix?: string): LongscanError {
  return new LongscanError({
    ...{ code: 'E-CLI-USAGE', where, found, expected, exitCode: 2 },
    ...(fix === undefined ? {} : { fix }),
  });
}
