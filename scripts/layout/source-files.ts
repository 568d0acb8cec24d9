import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** A file of the repository, by its path from the root. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** One rule of the layout: every way in which the files break it, one sentence each that begins with a path. */
export type LayoutRule = (files: readonly SourceFile[]) => string[];

const textEndings = /\.(ts|mjs|js|cc|h|cu|cuh|md|json|toml|txt)$/;

/** Every file that git tracks or would track, sorted. The text of others than source files is left empty. */
export function readSourceFiles(root: string): SourceFile[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const paths = execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 }).split('\0');
  return paths
    .filter((file) => file !== '' && existsSync(path.join(root, file)))
    .sort()
    .map((file) => ({
      path: file,
      text: textEndings.test(file) ? readFileSync(path.join(root, file), 'utf8') : '',
    }));
}

/** Folders that a file lies in: `a` and `a/b` of `a/b/c`. */
export function parentFolders(file: string): string[] {
  const parts = file.split('/').slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'));
}
