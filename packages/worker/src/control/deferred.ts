/** A promise that is settled from outside (Promise.withResolvers needs Node 22). */
export class Deferred<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: unknown) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // A rejection that nobody waits for must not end the process; whoever awaits the promise still sees it.
    this.promise.catch(() => {});
  }
}
