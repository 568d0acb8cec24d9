import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './exec.mjs';

const stampFolder = path.join(root, '.cache/stamps');
const ignoredFolders = new Set(['node_modules', 'dist', 'build', 'runs', '.git', '.tools', '.cache']);

/** Every file under `folder` (absolute, sorted) whose name `accepts` takes, without built and installed ones. */
export function listFiles(folder, accepts) {
  const files = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!ignoredFolders.has(entry.name)) files.push(...listFiles(file, accepts));
    } else if (accepts(entry.name)) {
      files.push(file);
    }
  }
  return files.sort();
}

/** One hash over the names and contents of `files` and over `extra`, what else the result depends on. */
export function hashFiles(files, extra = []) {
  const hash = createHash('sha256').update(JSON.stringify(extra));
  for (const file of files) {
    const content = readFileSync(file);
    hash.update(`\0${path.relative(root, file)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** The hash that the stage's last success was stamped with, or null. */
export function readStamp(stage) {
  try {
    return readFileSync(path.join(stampFolder, stage), 'utf8');
  } catch {
    return null;
  }
}

/** Written after a stage has succeeded, never before. */
export function writeStamp(stage, hash) {
  mkdirSync(stampFolder, { recursive: true });
  writeFileSync(path.join(stampFolder, stage), hash);
}
