import { parentPort, workerData } from 'node:worker_threads';
import { LongscanError } from '@longscan/worker/protocol';
import type { PlanAnswer, PlanRequest } from './plan-apart.js';
import { planHere } from './plan-to-run.js';

/** Entry of the thread of `planApart`. */

const { jobSpec, layerModules, links } = workerData as PlanRequest;
const answer: PlanAnswer = await planHere(jobSpec, layerModules, links).then((plan) => ({ plan }), refusalOf);
parentPort!.postMessage(answer);

/** Without its cause, which may be of a kind that no message carries. */
function refusalOf(error: unknown): PlanAnswer {
  if (error instanceof LongscanError) {
    const { cause: _, ...refused } = error.parts;
    return { refused };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { bug: Object.assign(new Error(message), { stack }) };
}
