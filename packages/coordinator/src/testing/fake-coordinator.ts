import { type FakeJob, launchFake } from './fake-job.js';

/** A process that coordinates a run of fake ranks and stops it at SIGINT: something to kill. Entry of a process. */
const run = await launchFake(JSON.parse(process.argv[2]!) as FakeJob);
process.on('SIGINT', () => void run.stop());
process.exitCode = await run.done.then(
  () => 0,
  () => 1,
);
