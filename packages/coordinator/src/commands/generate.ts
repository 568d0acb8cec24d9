import { resolveCheckpoint } from '@longscan/worker/checkpoint';
import { z } from 'zod';
import { defineCommand } from './command.js';
import { checkpointPositional, findCheckpoint } from './find-checkpoint.js';
import { interruptible } from './interruptible.js';
import { nonNegativeNumber, wholeNumber } from './options.js';

const resultSchema = z.object({ text: z.string() });
const maxSeed = 0xffff_ffff;

export default defineCommand({
  name: 'generate',
  summary: 'continue a text with a trained model; memory does not grow with its length',
  positionals: { checkpoint: checkpointPositional },
  options: {
    prompt: { type: 'string', nargs: 1, demandOption: true, describe: 'text to continue' },
    tokens: { ...wholeNumber('--tokens', 'tokens to add'), demandOption: true },
    temperature: {
      ...nonNegativeNumber('--temperature', '0 takes the likeliest token, 1 samples as trained'),
      default: '1',
    },
    device: { type: 'string', nargs: 1, choices: ['cpu', 'cuda'], default: 'cpu', describe: 'where' },
    seed: { ...wholeNumber('--seed', 'of the sampling', maxSeed), default: '0' },
  },
  example: 'generate latest --prompt "Call me " --tokens 200',
  async run(args, terminal) {
    const { runTask } = await import('../run-task.js');
    const task = {
      kind: 'generate',
      checkpoint: resolveCheckpoint(findCheckpoint(args.checkpoint)),
      prompt: args.prompt,
      numTokens: args.tokens,
      temperature: args.temperature,
      seed: args.seed,
      device: args.device as 'cpu' | 'cuda',
    } as const;
    const result = await interruptible((signal) => runTask(task, { signal }));
    const { text } = resultSchema.parse(result);
    if (args.json) terminal.printJson({ text });
    else terminal.print(`${args.prompt}${text}`);
    return 0;
  },
});
