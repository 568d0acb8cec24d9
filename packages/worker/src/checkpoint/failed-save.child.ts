import { saveCheckpoint } from './save.js';
import { sampleContent, sampleContext } from './testing.js';
import { latestValid } from './verify.js';

/**
 * Program of failed-save.test.ts: saves small checkpoints of steps 10 and 20 into RUN_DIR and then one of step 30 that
 * is larger than the file system. Prints that error's code and message.
 */
const runDir = process.argv[2]!;
for (const step of [10, 20])
  await saveCheckpoint(runDir, sampleContent(step), sampleContext(step), { keep: 2 });
try {
  await saveCheckpoint(runDir, sampleContent(3, 1 << 20), sampleContext(30), { keep: 2 });
} catch (error) {
  console.log((error as Error).message);
}
console.log(`latest ${(await latestValid(runDir)).checkpoint.step}`);
