import { longFiles } from './long-files.js';
import type { LayoutRule, SourceFile } from './source-files.js';

const maxLines = 400;

/** No file of code is longer than 400 lines, unless `longFiles` says why. */
export const checkLineBudget: LayoutRule = (files) => {
  const problems: string[] = [];
  const lines = new Map(files.filter(isCode).map((file) => [file.path, countLines(file)]));
  for (const [path, numLines] of lines)
    if (numLines > maxLines && !Object.hasOwn(longFiles, path))
      problems.push(`${path}: ${numLines} lines, at most ${maxLines}; cut it up by purpose`);
  for (const path of Object.keys(longFiles))
    if ((lines.get(path) ?? 0) <= maxLines) problems.push(`${path}: is not long and stands in long-files.ts`);
  return problems;
};

/** Number of files of code, the median of their lines and the longest. */
export function describeSizes(files: readonly SourceFile[]): string {
  const code = files.filter(isCode).sort((a, b) => countLines(a) - countLines(b));
  const [median, longest] = [code[Math.floor(code.length / 2)], code.at(-1)];
  if (median === undefined || longest === undefined) return 'no files of code';
  return `${code.length} files of code, median ${countLines(median)} lines, longest ${longest.path} with ${countLines(longest)}`;
}

function isCode({ path }: SourceFile): boolean {
  return /\.(ts|mjs|js|cc|h|cu|cuh)$/.test(path);
}

function countLines({ text }: SourceFile): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}
