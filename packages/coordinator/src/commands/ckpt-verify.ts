import { resolveCheckpoint, verifyCheckpoint } from '@longscan/worker/checkpoint';
import { formatBytes } from '../format.js';
import { defineCommand } from './command.js';
import { checkpointPositional, findCheckpoint } from './find-checkpoint.js';

export default defineCommand({
  name: 'ckpt verify',
  summary: 'read a whole checkpoint and compare it with its manifest',
  positionals: { checkpoint: checkpointPositional },
  options: {},
  example: 'ckpt verify runs/latest/checkpoints/step-000500',
  async run(args, terminal) {
    const dir = resolveCheckpoint(findCheckpoint(args.checkpoint));
    const { step, world, files } = await verifyCheckpoint(dir);
    const bytes = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
    if (args.json) terminal.printJson({ checkpoint: dir, step, world, files, valid: true });
    else {
      const numFiles = Object.keys(files).length;
      terminal.print(`${dir} is whole: step ${step}, ${numFiles} files, ${formatBytes(bytes)}`);
    }
    return 0;
  },
});
