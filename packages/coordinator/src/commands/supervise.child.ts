import { launchFake } from '../testing/fake-job.js';
import { supervise } from './supervise.js';
import { trainingView } from './training-view.js';

/** A training command whose ranks compute nothing, for the test of signals: `node supervise.child.js RUN_DIR STEPS FAULT`. */
const [runDir = '', steps = '', fault = '{"kind":"none"}'] = process.argv.slice(2);
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
process.on('SIGHUP', () => {});
process.exitCode = await supervise(async (signal) => {
  const launch = { stopTimeoutMs: 60_000 };
  const run = await launchFake({
    runDir,
    numRanks: 2,
    steps: Number(steps),
    fault: JSON.parse(fault),
    launch,
  });
  signal.addEventListener('abort', () => void run.stop({ save: true }));
  return run;
}, trainingView(true));
