import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

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
  build(source: string, copy: string, output: string): void {
    const objects = this.#commands.map((entry) => path.resolve(entry.directory, outputOf(entry)));
    this.#commands.forEach((entry, i) => {
      if (path.relative(this.#kernels, entry.file) !== source) return;
      const object = `${output}.${i}.o`;
      const command = entry.command
        .replaceAll(path.join(this.#kernels, 'src'), path.join(copy, 'src'))
        .replace(outputOf(entry), object);
      // Without warnings: a mutant may leave a variable unused.
      execFileSync('sh', ['-c', `${command} -w`], {
        cwd: entry.directory,
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      objects[i] = object;
    });
    this.#link(objects, output);
  }

  #link(objects: readonly string[], output: string): void {
    const compiler = this.#commands[0]!.command.split(' ')[0]!;
    const args = ['-shared', '-o', output, ...objects, '-ldl', '-pthread'];
    if (spawnSync(compiler, args, { stdio: ['ignore', 'ignore', 'inherit'] }).status !== 0)
      throw new Error(`${output} could not be linked`);
  }
}

/** The object file that the command writes, relative to its directory. */
function outputOf({ command, file }: CompileCommand): string {
  const output = / -o (\S+)/.exec(command)?.[1];
  if (output === undefined) throw new Error(`the command that compiles ${file} has no -o`);
  return output;
}
