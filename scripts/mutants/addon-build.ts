import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

interface CompileCommand {
  readonly directory: string;
  readonly command: string;
  readonly file: string;
}

/** The addon's own objects and one set per instruction set; CUDA kernels and what tests open are libraries of their own. */
const partOfAddon = /CMakeFiles\/(longscan|kernels_\w+)\.dir\//;

/**
 * Builds addons that differ from the checkout's in one source file: compiles that file (once per instruction set)
 * and links it with the objects that are there, which takes seconds where a whole build takes a minute.
 */
export class AddonBuild {
  readonly #kernels: string;
  readonly #commands: readonly CompileCommand[];

  /** @param kernels the checkout's packages/kernels, with a finished build */
  constructor(kernels: string) {
    this.#kernels = kernels;
    const all = JSON.parse(readFileSync(path.join(kernels, 'build/compile_commands.json'), 'utf8'));
    this.#commands = (all as CompileCommand[]).filter((entry) => partOfAddon.test(outputOf(entry)));
  }

  /** The addon of the checkout itself. */
  get original(): string {
    return path.join(this.#kernels, 'build/longscan.node');
  }

  /** Builds `output` from the checkout's sources, with `source` (relative to packages/kernels) taken from `copy`. */
  async build(source: string, copy: string, output: string): Promise<void> {
    const objects = this.#commands.map((entry) => path.resolve(entry.directory, outputOf(entry)));
    for (const [i, entry] of this.#commands.entries()) {
      if (path.relative(this.#kernels, entry.file) !== source) continue;
      const object = `${output}.${i}.o`;
      const command = entry.command
        .replaceAll(path.join(this.#kernels, 'src'), path.join(copy, 'src'))
        .replace(outputOf(entry), object);
      // Without warnings: a mutant may leave a variable unused.
      await execute('sh', ['-c', `${command} -w`], { cwd: entry.directory });
      objects[i] = object;
    }
    const compiler = this.#commands[0]!.command.split(' ')[0]!;
    await execute(compiler, ['-shared', '-o', output, ...objects, '-ldl', '-pthread']);
  }
}

/** The object file that the command writes, relative to its directory. */
function outputOf({ command, file }: CompileCommand): string {
  const output = / -o (\S+)/.exec(command)?.[1];
  if (output === undefined) throw new Error(`the command that compiles ${file} has no -o`);
  return output;
}
