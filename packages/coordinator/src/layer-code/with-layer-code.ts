import { TemporaryFolder } from '../run-folder/on-disk.js';
import type { LayerModules } from './computations.js';
import { codeOfPackages, type LayerCode, type LayerCodeOptions } from './layer-code.js';
import { LayerThread } from './layer-thread.js';

/**
 * Calls `body` with the code of a job's layers. Files of the user's are run in a thread of its own, which can be ended whatever it
 * does: one that loops for ever would keep this thread from hearing any signal. Nothing of them runs any more afterwards.
 */
export async function withLayerCode<T>(
  modules: LayerModules,
  options: LayerCodeOptions,
  body: (code: LayerCode) => Promise<T>,
): Promise<T> {
  if (!isForeign(modules)) return body(codeOfPackages(options));
  // Bundles that are being imported lie there: who is ended in the middle of that removes nothing.
  const folder = new TemporaryFolder('longscan-layer-code-');
  try {
    const thread = new LayerThread(modules, folder.path, options);
    try {
      return await body(thread);
    } finally {
      await thread.end();
    }
  } finally {
    folder.remove();
  }
}

/** Whether there is code of the user's. */
export function isForeign(modules: LayerModules): boolean {
  return Object.keys(modules).length > 0;
}
