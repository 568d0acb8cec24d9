import { relative } from 'node:path';
import { type CheckpointEntry, listCheckpoints, listLeft } from '@longscan/worker/checkpoint';
import { formatBytes } from '../format.js';
import { findRun } from '../run-folder/find-run.js';
import { defineCommand } from './command.js';
import { runPositional } from './options.js';

export default defineCommand({
  name: 'ckpt ls',
  summary: 'list the checkpoints of a run',
  positionals: { run: runPositional },
  options: {},
  example: 'ckpt ls latest',
  async run(args, terminal) {
    const runDir = findRun(args.run);
    const checkpoints = listCheckpoints(runDir);
    const left = listLeft(runDir);
    const line = ({ dir, step, bytes }: CheckpointEntry, mark: string) =>
      terminal.print(`step ${step}  ${formatBytes(bytes)}  ${relative(process.cwd(), dir)}${mark}`);
    if (args.json) terminal.printJson({ runDir, checkpoints, left });
    else {
      if (checkpoints.length === 0) terminal.print(`${runDir} has no checkpoints`);
      for (const entry of checkpoints)
        line(entry, entry.isCommitted ? '' : '  not committed: its save was cut off');
      for (const entry of left) line(entry, '  set aside: the run went back to an earlier step');
    }
    return 0;
  },
});
