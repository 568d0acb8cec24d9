import { Socket } from 'node:net';

/**
 * Watches the pipe whose other end the coordinator holds. The kernel closes that end however the coordinator dies,
 * so the end of file reaches a rank even when nobody was left to send a message.
 *
 * @returns a function that stops watching.
 */
export function watchLifeline(fd: number, onEnd: () => void): () => void {
  const pipe = new Socket({ fd, readable: true, writable: false });
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    onEnd();
  };
  pipe.on('end', end);
  pipe.on('error', end);
  pipe.on('close', end);
  // Nothing is ever written to it; reading is what makes the end of file visible.
  pipe.resume();
  pipe.unref();
  return () => {
    ended = true;
    pipe.destroy();
  };
}
