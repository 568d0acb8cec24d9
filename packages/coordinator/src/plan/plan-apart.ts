import { Worker } from 'node:worker_threads';
import { type ErrorParts, type JobSpec, LongscanError, type Plan } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { TemporaryFolder } from '../run-folder/on-disk.js';
import { stoppedError } from '../stopped-error.js';

/** What `planHere` is called with. */
export interface PlanRequest {
  readonly jobSpec: JobSpec;
  readonly layerModules: Readonly<Record<string, string>>;
  readonly links: Fabric | undefined;
}

/** What the thread says last. `bug`: planning failed by what is no LongscanError, which is not the user's doing. */
export type PlanAnswer = { readonly plan: Plan } | { readonly refused: ErrorParts } | { readonly bug: Error };

/** How it ended without an answer: what it threw beside its planning, or its exit code. */
type ThreadEnd = { readonly thrown: unknown } | { readonly exitCode: number };

/**
 * Plans in a thread of its own, which can be ended whatever it does: a layer file that loops for ever would keep this one from
 * hearing any signal.
 *
 * @throws LongscanError what `planHere` throws, E-RUN-KILLED when `signal` ends it, E-ENDED when code of the user's does or runs
 * out of memory, E-PLUGIN for what such code throws beside the planning
 */
export async function planApart(request: PlanRequest, signal: AbortSignal): Promise<Plan> {
  // Bundles that are being imported lie there: who is ended in the middle of that removes nothing.
  const folder = new TemporaryFolder('longscan-plan-');
  try {
    return await planInThread(request, signal, folder.path);
  } finally {
    folder.remove();
  }
}

async function planInThread(request: PlanRequest, signal: AbortSignal, temporary: string): Promise<Plan> {
  const thread = new Worker(new URL('./plan-thread.js', import.meta.url), {
    workerData: request,
    execArgv: [],
    env: { ...process.env, TMPDIR: temporary },
  });
  const end = () => void thread.terminate();
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  try {
    const answer = await answerOf(thread);
    if (signal.aborted) throw stoppedError(request.jobSpec.job.name);
    if ('thrown' in answer) throw thrownError(request, answer.thrown);
    if ('exitCode' in answer) throw endedError(request, `exit code ${answer.exitCode}`, endsItself);
    if ('refused' in answer) throw new LongscanError(answer.refused);
    if ('bug' in answer) throw answer.bug;
    return answer.plan;
  } finally {
    signal.removeEventListener('abort', end);
    // Timers of the user's may keep it.
    await thread.terminate();
  }
}

/** What comes first. What the user's code throws after that is nobody's. */
function answerOf(thread: Worker): Promise<PlanAnswer | ThreadEnd> {
  return new Promise((resolve) => {
    thread.once('message', resolve);
    thread.once('exit', (exitCode) => resolve({ exitCode }));
    thread.on('error', (thrown) => resolve({ thrown }));
  });
}

const endsItself = 'take process.exit, and promises that never settle, out of these files';
const holdsTooMuch =
  'make these files hold less at once, or give Node.js more (NODE_OPTIONS=--max-old-space-size=MIB)';

function thrownError(request: PlanRequest, thrown: unknown): LongscanError {
  const isError = thrown instanceof Error;
  if (isError && 'code' in thrown && thrown.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return endedError(request, 'its memory used up', holdsTooMuch);
  }
  return new LongscanError({
    code: 'E-PLUGIN',
    where: filesOf(request),
    found: `thrown beside the planning: ${isError ? (thrown.stack ?? thrown.message) : String(thrown)}`,
    fix: 'catch that in these files, also in callbacks and promises that nothing waits for',
    exitCode: 2,
    cause: thrown,
  });
}

function endedError(request: PlanRequest, by: string, fix: string): LongscanError {
  return new LongscanError({
    code: 'E-ENDED',
    where: filesOf(request),
    found: `the planning ended before there was a plan, with ${by}`,
    expected: 'that nothing ends it',
    fix,
    exitCode: 1,
  });
}

function filesOf({ layerModules }: PlanRequest): string {
  return Object.keys(layerModules).join(', ');
}
