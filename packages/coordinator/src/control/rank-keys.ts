import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyFile } from '@longscan/worker/protocol';
import { curveKeyPair } from 'zeromq';
import { onDisk, TemporaryFolder } from '../run-folder/on-disk.js';
import { decodeZ85 } from './z85.js';

/**
 * The keys of one launch: a CURVE pair for the coordinator, a pair and a secret for each rank. They live in memory
 * and, until a rank has said hello, in a file of mode 0600 of its own in a folder of mode 0700 outside the run
 * folder, so that nothing that is copied or archived with a run holds a key.
 */
export class RankKeys {
  readonly #server = curveKeyPair();
  readonly #files: readonly KeyFile[];
  readonly #folder: TemporaryFolder;
  /** Ranks whose files are still there. */
  readonly #unread = new Set<number>();

  /** @throws LongscanError E-DISK (exit code 3). */
  constructor(worldSize: number) {
    this.#files = Array.from({ length: worldSize }, () => ({
      ...curveKeyPair(),
      serverKey: this.#server.publicKey,
      secret: randomBytes(32).toString('hex'),
    }));
    this.#folder = new TemporaryFolder('longscan-keys-');
    try {
      for (const [rank, file] of this.#files.entries()) this.#write(rank, file);
    } catch (error) {
      this.removeAll();
      throw error;
    }
  }

  /** The coordinator's secret key, Z85. */
  get serverSecretKey(): string {
    return this.#server.secretKey;
  }

  /** Public keys of the ranks as ZAP sees them, 32 raw bytes each. */
  get clientKeys(): readonly Buffer[] {
    return this.#files.map((file) => decodeZ85(file.publicKey));
  }

  /** By which a Hello proves its rank, 32 bytes. */
  secret(rank: number): Buffer {
    return Buffer.from(this.#files[rank]!.secret, 'hex');
  }

  path(rank: number): string {
    return join(this.#folder.path, `rank-${rank}.json`);
  }

  /** Called once the rank has said hello: nobody needs its file any more. The last one takes the folder with it. */
  remove(rank: number): void {
    rmSync(this.path(rank), { force: true });
    this.#unread.delete(rank);
    if (this.#unread.size === 0) this.removeAll();
  }

  #write(rank: number, file: KeyFile): void {
    const text = JSON.stringify(file);
    onDisk(
      this.path(rank),
      () => writeFileSync(this.path(rank), text, { flag: 'wx', mode: 0o600 }),
      'TMPDIR',
    );
    this.#unread.add(rank);
  }

  removeAll(): void {
    this.#folder.remove();
  }
}
