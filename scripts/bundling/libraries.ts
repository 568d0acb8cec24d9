import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import path from 'node:path';

/** Opened by name at run time; the number is that of the interface. */
const wanted = [/^libnccl\.so\.\d+$/, /^libcublas\.so\.\d+$/, /^libcublasLt\.so\.\d+$/] as const;

/** Copies NVIDIA's libraries that this host has, and says which those are. */
export function addLibraries(folder: string): void {
  const target = path.join(folder, 'lib');
  mkdirSync(target);
  for (const pattern of wanted) {
    const file = findLibrary(pattern);
    if (file === null) {
      console.log(`no ${pattern.source.slice(1).split('\\')[0]} on this host`);
      continue;
    }
    copyFileSync(realpathSync(file), path.join(target, path.basename(file)));
    console.log(`with ${file}`);
  }
}

function findLibrary(pattern: RegExp): string | null {
  for (const folder of libraryFolders()) {
    const name = existsSync(folder) && readdirSync(folder).find((entry) => pattern.test(entry));
    if (name) return path.join(folder, name);
  }
  return null;
}

function libraryFolders(): string[] {
  const home = process.env.CUDA_HOME ?? '/usr/local/cuda';
  return [path.join(home, 'lib64'), '/usr/lib/x86_64-linux-gnu', '/usr/lib64', ...pythonFolders()];
}

/** Those of the packages `nvidia-…` of the Python in PATH. */
function pythonFolders(): string[] {
  const { stdout } = spawnSync('python3', ['-c', 'import nvidia; print(*nvidia.__path__, sep="\\n")'], {
    encoding: 'utf8',
  });
  const roots = (stdout ?? '').split('\n').filter((line) => line !== '' && existsSync(line));
  return roots.flatMap((root) => readdirSync(root).map((name) => path.join(root, name, 'lib')));
}
