import type { Native } from './native.js';

/** Is told what a native function was called with and what it gave, once it has returned. */
export type NativeObserver = (name: string, args: readonly unknown[], result: unknown) => void;

/** The same functions, with an observer who is told of every call, in the order of the calls. */
export function observedNative(native: Native, observe: NativeObserver): Native {
  const observed = new Map<string | symbol, unknown>();
  return new Proxy(native, {
    get(target, name) {
      if (!observed.has(name)) {
        const call = Reflect.get(target, name) as (...args: unknown[]) => unknown;
        observed.set(name, (...args: unknown[]) => {
          const result = call(...args);
          observe(String(name), args, result);
          return result;
        });
      }
      return observed.get(name);
    },
  });
}
