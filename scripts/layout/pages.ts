import path from 'node:path';
import { type LayoutRule, parentFolders } from './source-files.js';

/**
 * A reader finds every page: the README.md of a folder below docs/ links each page beside it, and the repository's links
 * docs/README.md. Links between pages, of all README.md too, lead to something that is there.
 */
export const checkPages: LayoutRule = (files) => {
  const there = new Set(files.flatMap(({ path: file }) => [file, ...parentFolders(file)]));
  const pages = files.filter(({ path: file }) => /^docs\/.*\.md$|(^|\/)README\.md$/.test(file));
  const linked = new Map(pages.map(({ path: file, text }) => [file, linksOf(file, text)]));
  return pages.flatMap(({ path: file }) => [
    ...linked
      .get(file)!
      .filter((target) => !there.has(target))
      .map((target) => `${file}: links ${target}, which is not there`),
    ...(isLinked(file, linked) ? [] : [`${file}: no link from ${indexOf(file)}`]),
  ]);
};

function isLinked(file: string, linked: ReadonlyMap<string, readonly string[]>): boolean {
  return !file.startsWith('docs/') || (linked.get(indexOf(file))?.includes(file) ?? false);
}

/** The page that has to link a page of docs/: the README.md beside it, of such a one that of the folder above. */
function indexOf(file: string): string {
  const folder = path.posix.dirname(file);
  const above = file.endsWith('/README.md') ? path.posix.dirname(folder) : folder;
  return path.posix.join(above, 'README.md');
}

/** Paths of the repository that a page's relative links lead to; code in backquotes holds none. */
function linksOf(file: string, text: string): string[] {
  const prose = text.replaceAll(/^ {4}.*$|`[^`\n]*`/gm, '');
  return [...prose.matchAll(/\]\(([^)\s#]+)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => path.posix.join(path.posix.dirname(file), target).replace(/\/$/, ''));
}
