import { parentPort, workerData } from 'node:worker_threads';

/**
 * Stands for the control thread: beats on its own clock, and tells the number of the last collective from memory that
 * native code writes. It ends when the main thread says so by a message.
 */
const { beats, progress } = workerData as { beats: Int32Array; progress: Int32Array };

const timer = setInterval(() => {
  const collective = Atomics.load(progress, 0);
  Atomics.store(beats, 1, collective);
  Atomics.add(beats, 0, 1);
  parentPort!.postMessage({ collective });
}, 2);
parentPort!.once('message', () => clearInterval(timer));
