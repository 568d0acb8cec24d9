import { existsSync, readFileSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { parse, TomlError } from 'smol-toml';
import { type JobDocument, maxDepth, syntaxError, tooDeep } from './document.js';
import { locateTomlKeys } from './toml-locator.js';
import { parseYaml } from './yaml-document.js';

/** A job is a page of settings; anything much larger is a mistake or an attack on the parser. */
const maxFileBytes = 1 << 20;

/** What a file is expected to be, as messages call it. */
export type FileKind = 'a job file' | 'a fabric file' | 'a compute file';

/**
 * Reads a TOML, YAML or JSON file (by extension).
 * @throws LongscanError E-CFG-READ, E-CFG-SIZE, E-CFG-PARSE (with the line and a caret), all with exit code 2
 */
export function readDocument(file: string, kind: FileKind = 'a job file'): JobDocument {
  if (existsSync(file) && statSync(file).isDirectory()) throw unreadable(file, kind, 'a folder');
  const extension = extname(file).toLowerCase();
  if (!['.toml', '.yaml', '.yml', '.json'].includes(extension)) {
    const found = extension === '' ? 'a file name without extension' : `the extension ${extension}`;
    throw unreadable(file, kind, found);
  }
  const text = readText(file, kind);
  const document =
    extension === '.toml' ? parseToml(file, text) : parseYaml(file, text, extension === '.json');
  checkDepth(file, document.value);
  return document;
}

function readText(file: string, kind: FileKind): string {
  let bytes: Buffer;
  try {
    // Looked at before it is opened: opening a named pipe would wait for a writer.
    const stat = statSync(file);
    if (!stat.isFile()) throw unreadable(file, kind, 'not a regular file');
    if (stat.size > maxFileBytes) throw tooLarge(file, stat.size);
    bytes = readFileSync(file);
  } catch (cause) {
    throw cause instanceof LongscanError ? cause : unreadable(file, kind, describeReadError(cause), cause);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw unreadable(file, kind, 'bytes that are not UTF-8', cause, 'save it as UTF-8');
  }
}

/** Why the system does not let a file be read. */
export function describeReadError(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'no such file';
  if (code === 'EISDIR') return 'a folder';
  if (code === 'EACCES' || code === 'EPERM') return 'no permission to read it';
  return cause instanceof Error ? cause.message : String(cause);
}

function unreadable(
  file: string,
  kind: FileKind,
  found: string,
  cause?: unknown,
  fix = `check the path; the current folder is ${process.cwd()}`,
): LongscanError {
  return new LongscanError({
    code: 'E-CFG-READ',
    where: file,
    found,
    expected: `${kind} (.toml, .yaml, .yml or .json)`,
    fix,
    exitCode: 2,
    cause,
  });
}

function tooLarge(file: string, bytes: number): LongscanError {
  return new LongscanError({
    code: 'E-CFG-SIZE',
    where: file,
    found: `${bytes} bytes`,
    expected: `at most ${maxFileBytes}`,
    fix: 'name a file of settings; a text is what data.path names',
    exitCode: 2,
  });
}

function parseToml(file: string, text: string): JobDocument {
  try {
    const value = parse(text, { integersAsBigInt: 'asNeeded', maxDepth });
    return { file, value, places: locateTomlKeys(text) };
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const [reason = cause.message] = cause.message.replace(/^Invalid TOML document: /, '').split('\n', 1);
    throw syntaxError(file, text, { line: cause.line, column: cause.column }, reason, cause);
  }
}

/** Level by level and not by recursion: dotted keys nest as deep as a line is long. */
function checkDepth(file: string, value: object): void {
  let level: object[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) throw tooDeep(file);
    level = level.flatMap((node) => Object.values(node).filter(isContainer));
  }
}

function isContainer(node: unknown): node is object {
  return typeof node === 'object' && node !== null;
}
