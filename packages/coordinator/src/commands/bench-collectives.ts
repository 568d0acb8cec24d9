import { resolve } from 'node:path';
import { type MeasuredTransition, measuredTransitions } from '@longscan/worker/protocol';
import { writeFileOnDisk } from '../run-folder/on-disk.js';
import { TaskLine } from '../task-line.js';
import { usage } from '../usage.js';
import { byteSize, byteSizes } from './byte-options.js';
import { defineCommand } from './command.js';
import { groupOptions, groupPositionals, jobOfGroup, onGroup } from './group-job.js';
import { place, wholeNumber } from './options.js';
import { requireWritable } from './writable-file.js';

const usualBytes = { min: 8, max: 64 * 2 ** 20 };
/** From one size to the next. */
const sizeFactor = 8;

export default defineCommand({
  name: 'bench collectives',
  summary: 'time messages, collectives and whole SP strategies between ranks, and fit what their links cost',
  positionals: groupPositionals,
  options: {
    ...groupOptions,
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
    const jobSpec = await jobOfGroup(args);
    const { measureGroup } = await import('../collectives/measure-group.js');
    const { fabricFileOf } = await import('../collectives/measured.js');
    const { formatCollectives } = await import('../collectives/format.js');
    const line = new TaskLine(args.json ? null : terminal.stderr);
    line.begin();
    const measured = await onGroup(jobSpec, (plan, modules, options) =>
      measureGroup(task, plan, modules, { ...options, onProgress: (progress) => line.show(progress) }),
    ).finally(() => line.clear());
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
