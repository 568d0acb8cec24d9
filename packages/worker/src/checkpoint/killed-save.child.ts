import { nodeFs } from './durable-fs.js';
import { saveCheckpoint } from './save.js';
import { hookedFs, sampleContent, sampleContext } from './testing.js';

/**
 * Program of killed-save.test.ts: saves step STEP with content SEED into RUN_DIR and kills itself before file
 * operation number KILL_AT; a write is cut in its middle. Prints nothing; status 0 when the save came to its end.
 */
const [runDir, step, seed, killAt] = process.argv.slice(2);
let numOperations = 0;
const fs = hookedFs(nodeFs, async (_operation, write) => {
  if (numOperations++ !== Number(killAt)) return;
  if (write !== undefined) await write.file.write(write.bytes.subarray(0, write.bytes.length / 2));
  process.kill(process.pid, 'SIGKILL');
  // The signal may take a moment; nothing more may reach the disk meanwhile.
  await new Promise(() => {});
});
await saveCheckpoint(runDir!, sampleContent(Number(seed)), sampleContext(Number(step)), { keep: 2, fs });
