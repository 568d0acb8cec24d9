import { write } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const retryMs = 20;

/**
 * Writes to a file descriptor without ever holding up the event loop: Node's own stdout blocks the process while the
 * reader of a pipe is slow or a terminal is paused (Ctrl-S), and with it the heartbeats of a run. A reader that is
 * gone ends the writing, not the run.
 */
export class PacedOutput {
  readonly #fd: number;
  #isClosed = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** True once the reader has gone away; what is written after that is dropped. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Resolves when the reader has taken the text, or has gone away. */
  async write(text: string): Promise<void> {
    let rest = Buffer.from(text);
    while (rest.length > 0 && !this.#isClosed) {
      const { bytes, code } = await writeOnce(this.#fd, rest);
      if (code === 'EAGAIN') await delay(retryMs);
      else if (code !== null) this.#isClosed = true;
      rest = rest.subarray(bytes);
    }
  }
}

function writeOnce(fd: number, data: Buffer): Promise<{ bytes: number; code: string | null }> {
  return new Promise((resolve) => {
    write(fd, data, 0, data.length, null, (error, bytes) => {
      resolve({ bytes: error === null ? bytes : 0, code: error === null ? null : (error.code ?? 'unknown') });
    });
  });
}
