/** Blocks this JavaScript thread, event loop included, until native threads or workers have made `isDone` true. */
export function blockUntil(what: string, isDone: () => boolean, timeoutMs = 20_000): void {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + timeoutMs;
  while (!isDone()) {
    if (performance.now() > end) throw new Error(`${what} did not happen while JavaScript was blocked`);
    Atomics.wait(nobody, 0, 0, 1);
  }
}
