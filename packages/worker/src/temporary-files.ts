import { rmSync } from 'node:fs';

/** What this process has made and not removed yet: one registry a process, as there is one end of it. */
const paths = new Set<string>();

/**
 * Has a file or a folder go with this process, also where that is ended by `process.exit` (a third Ctrl-C, a layer file's own call)
 * and no `finally` is reached.
 *
 * @returns what removes it before that.
 */
export function removeAtExit(path: string): () => void {
  if (paths.size === 0) process.once('exit', removeAll);
  paths.add(path);
  return () => {
    remove(path);
    paths.delete(path);
    if (paths.size === 0) process.off('exit', removeAll);
  };
}

function removeAll(): void {
  for (const path of paths) {
    try {
      remove(path);
    } catch {
      // It stays, and those after it still go: nobody is left to tell.
    }
  }
}

function remove(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
