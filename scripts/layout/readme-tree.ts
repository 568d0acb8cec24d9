import { type LayoutRule, parentFolders } from './source-files.js';

/**
 * The README's file tree and the disk agree. The tree is the code block whose first line is `longscan/`; a line's
 * first word that ends in `/` is a folder, two spaces deeper than the folder it lies in. Listed must be: every folder
 * at the top, every package, and every folder directly inside a package's src/.
 */
export const checkReadmeTree: LayoutRule = (files) => {
  const readme = files.find(({ path }) => path === 'README.md');
  const tree = /^```[a-z]*\nlongscan\/[^\n]*\n([\s\S]*?)^```/m.exec(readme?.text ?? '')?.[1];
  if (tree === undefined)
    return ['README.md: has no code block that begins with the line `longscan/`, the file tree'];
  const listed = parseTree(tree);
  const onDisk = new Set(files.flatMap(({ path }) => parentFolders(path)));
  const required = [...onDisk].filter(
    (folder) => /^[^./][^/]*$/.test(folder) || /^packages\/[^/]+(\/src\/[^/]+)?$/.test(folder),
  );
  return [
    ...[...listed]
      .filter((folder) => !onDisk.has(folder))
      .map((folder) => `README.md: lists ${folder}/, which is not there`),
    ...required
      .filter((folder) => !listed.has(folder))
      .map((folder) => `${folder}/: is missing in README.md's file tree`),
  ];
};

/** Folders of an indented tree, by path. */
function parseTree(tree: string): Set<string> {
  const folders = new Set<string>();
  const stack: { indent: number; path: string }[] = [];
  for (const line of tree.split('\n')) {
    const match = /^( *)(\S+)\/(\s|$)/.exec(line);
    if (match === null) continue;
    const indent = match[1]!.length;
    while ((stack.at(-1)?.indent ?? -1) >= indent) stack.pop();
    const parent = stack.at(-1);
    const path = parent === undefined ? match[2]! : `${parent.path}/${match[2]}`;
    stack.push({ indent, path });
    for (const folder of parentFolders(`${path}/`)) folders.add(folder);
  }
  return folders;
}
