import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** Calls back at a time of `performance.now()`, to a tenth of a millisecond where timers have a whole one. */
export class Alarm {
  /** [0]: changes whenever the time does. */
  private readonly changes = new Int32Array(new SharedArrayBuffer(4));
  private readonly due = new Float64Array(new SharedArrayBuffer(8));
  private readonly worker: Worker;

  constructor(onDue: () => void) {
    this.due[0] = Number.POSITIVE_INFINITY;
    const shared = { changes: this.changes, due: this.due, origin: performance.timeOrigin };
    this.worker = new Worker(fileURLToPath(import.meta.url), { workerData: shared });
    this.worker.on('message', onDue);
  }

  set(time: number): void {
    this.due[0] = time;
    Atomics.add(this.changes, 0, 1);
    Atomics.notify(this.changes, 0);
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }
}

/** Sleeps until the time set last, over and over; each time rings once. */
function ring({ changes, due, origin }: { changes: Int32Array; due: Float64Array; origin: number }): never {
  let rung = -1;
  for (;;) {
    const seen = Atomics.load(changes, 0);
    const left = due[0]! - (performance.timeOrigin + performance.now() - origin);
    if (left > 0 || rung === seen) {
      Atomics.wait(changes, 0, seen, rung === seen ? Number.POSITIVE_INFINITY : left);
    } else {
      rung = seen;
      parentPort!.postMessage(null);
    }
  }
}

if (!isMainThread) ring(workerData);
