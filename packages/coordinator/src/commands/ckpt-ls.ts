import { relative } from 'node:path';
import { listCheckpoints } from '@longscan/worker/checkpoint';
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
    if (args.json) terminal.printJson({ runDir, checkpoints });
    else if (checkpoints.length === 0) terminal.print(`${runDir} has no checkpoints`);
    else {
      for (const { dir, step, bytes, isCommitted } of checkpoints) {
        const mark = isCommitted ? '' : '  not committed: its save was cut off';
        terminal.print(`step ${step}  ${formatBytes(bytes)}  ${relative(process.cwd(), dir)}${mark}`);
      }
    }
    return 0;
  },
});
