import { spawn } from 'node:child_process';
import path from 'node:path';
import { root } from './setup/exec.mjs';
import { describeSwallowedFlags } from './setup/npm-flags.mjs';
import { setupOrExit } from './setup.mjs';

/** `npm start -- ARGS`: sets up, trains the example with ARGS added, then lets the trained model write. */
const args = process.argv.slice(2);
const misuse = describeSwallowedFlags(args, process.env);
if (misuse !== null) {
  process.stderr.write(`${misuse}\n`);
  process.exit(2);
}
await setupOrExit();
await longscan('train', 'examples/moby-dick/job.toml', ...args);
if (args.includes('--help')) process.exit();
// Imported only now: before the set-up there is nothing compiled.
const { latestCommitted } = await import('../packages/worker/dist/checkpoint/index.js');
const checkpoint = latestCommitted(findRunFolder(args));
const sampling = ['--prompt', 'Call me Ishmael.', '--tokens', '200', '--temperature', '0.7'];
await longscan('generate', checkpoint.dir, ...sampling, ...args.filter((arg) => arg === '--json'));

/** Runs one longscan command on this terminal; ends this process with the command's status unless that is 0. */
async function longscan(...command) {
  const bin = path.join(root, 'packages/coordinator/bin/longscan.js');
  const child = spawn(process.execPath, [bin, ...command], { cwd: root, stdio: 'inherit' });
  // The terminal sends Ctrl-C to the command too: it saves and ends, and only then may this process end.
  const ignore = () => {};
  const forward = (signal) => child.kill(signal);
  process.on('SIGINT', ignore).on('SIGTERM', forward);
  const [status, signal] = await new Promise((resolve, reject) => {
    child.once('error', reject).once('exit', (...end) => resolve(end));
  });
  process.off('SIGINT', ignore).off('SIGTERM', forward);
  if (signal !== null) process.kill(process.pid, signal);
  if (status !== 0) process.exit(status ?? 1);
}

/** The run that the training wrote to: `--run-dir` when given, else the newest. */
function findRunFolder(args) {
  const flag = args.findIndex((arg) => arg === '--run-dir' || arg.startsWith('--run-dir='));
  const named = args[flag]?.startsWith('--run-dir=') ? args[flag].slice('--run-dir='.length) : args[flag + 1];
  return path.resolve(root, flag === -1 || named === undefined ? 'runs/latest' : named);
}
