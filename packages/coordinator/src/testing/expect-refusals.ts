import { Writable } from 'node:stream';
import * as assert from 'uvu/assert';
import { runCommandLine } from '../cli.js';
import { Terminal } from '../commands/terminal.js';

/** Each of these command lines is refused as usage or configuration, with this said and no result printed; in this process. */
export async function expectRefusals(
  cases: readonly (readonly [argv: readonly string[], expected: RegExp])[],
): Promise<void> {
  for (const [argv, expected] of cases) {
    const [stdout, stderr] = [new Kept(), new Kept()];
    const status = await runCommandLine(argv, new Terminal(stdout, stderr));
    assert.is(status, 2, `${argv.join(' ')}: ${stderr.text}`);
    assert.is(stdout.text, '');
    assert.match(stderr.text, expected);
  }
}

/** Keeps what is written to it. */
class Kept extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
