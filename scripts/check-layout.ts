import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkImports } from './layout/imports.js';
import { checkLineBudget, describeSizes } from './layout/line-budget.js';
import { checkNativeBorders } from './layout/native-borders.js';
import { checkPages } from './layout/pages.js';
import { checkReadmeTree } from './layout/readme-tree.js';
import { checkOpFolders, checkSeamFolders } from './layout/seam-folders.js';
import { readSourceFiles } from './layout/source-files.js';

/** Prints every way in which the repository breaks the rules of its layout; status 1 when there is one. */
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const files = readSourceFiles(root);
const rules = [
  checkSeamFolders,
  checkOpFolders,
  checkImports,
  checkNativeBorders,
  checkLineBudget,
  checkReadmeTree,
  checkPages,
];
const problems = rules.flatMap((rule) => rule(files));
for (const problem of problems) console.log(problem);
console.log(describeSizes(files));
process.exitCode = problems.length > 0 ? 1 : 0;
