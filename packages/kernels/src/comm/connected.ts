import type { Communicator } from './communicator.js';

/** A communicator whose connecting is enqueued, once it stands; what comes of `signal` reaches it from now on. */
export async function connected(communicator: Communicator, signal?: AbortSignal): Promise<Communicator> {
  const abort = () => communicator.abort(String(signal!.reason));
  if (signal?.aborted) abort();
  else signal?.addEventListener('abort', abort, { once: true });
  try {
    await communicator.stream.sync();
  } catch (error) {
    communicator.close();
    throw error;
  }
  return communicator;
}
