import { LongscanError, launch } from '@longscan/coordinator';

/**
 * Launches a job and prints its losses:
 *
 *     node examples/dist/launch.js examples/moby-dick/job.toml job.steps=20
 *
 * Ctrl-C saves a checkpoint and stops.
 */
const [job = 'examples/moby-dick/job.toml', ...overrides] = process.argv.slice(2);

const controller = new AbortController();
process.once('SIGINT', () => controller.abort());

try {
  const run = await launch(job, { overrides, signal: controller.signal });
  console.log(`${run.dir}: ${run.plan.mesh.numRanks} ranks, strategy ${run.plan.strategy}`);
  for await (const { step, loss, tokensPerSecond } of run.steps()) {
    console.log(`step ${step} loss ${loss?.toFixed(4)} ${tokensPerSecond.toFixed(0)} tokens/s`);
  }
  const { step, validationLoss, checkpoint } = await run.done;
  console.log(`done: ${step} steps, validation loss ${validationLoss?.toFixed(4)}, ${checkpoint}`);
} catch (error) {
  console.error(error instanceof LongscanError ? error.message : error);
  process.exitCode = error instanceof LongscanError ? error.exitCode : 1;
}
