import { parentPort, workerData } from 'node:worker_threads';
import { LongscanError } from '@longscan/worker/protocol';
import { type ArgsOf, type ComputationName, call, type LayerModules } from './computations.js';
import type { Answer, Question } from './layer-thread.js';

/** Entry of the thread of a `LayerThread`. */

const modules = workerData as LayerModules;
parentPort!.on('message', async ({ name, args, port }: Question) => {
  // A promise of the user's that never settles ends the thread.
  parentPort!.unref();
  const answer = await call(modules, name, args as ArgsOf<ComputationName>).then(
    (value): Answer => ({ value }),
    refusalOf,
  );
  parentPort!.ref();
  port.postMessage(answer);
});

/** Without its cause, which may be of a kind that no message carries. */
function refusalOf(error: unknown): Answer {
  if (error instanceof LongscanError) {
    const { cause: _, ...refused } = error.parts;
    return { refused };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { bug: Object.assign(new Error(message), { stack }) };
}
