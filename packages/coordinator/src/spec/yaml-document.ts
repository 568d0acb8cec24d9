import type { LineCounter, Node, Pair } from 'yaml';
import { type JobDocument, type KeyPlace, maxDepth, syntaxError, tooDeep } from './document.js';
import { loadYaml } from './load-yaml.js';
import type { Position } from './origin.js';
import { nestsDeeperThan } from './yaml-depth.js';

/** Nested aliases multiply; a job file has no use for more than a handful. */
const maxAliasCount = 20;

const fileStart: Position = { line: 1, column: 1 };

/** Parses YAML, or JSON as the subset of YAML that it is. */
export function parseYaml(file: string, text: string, isJson: boolean): JobDocument {
  if (nestsDeeperThan(maxDepth, text)) throw tooDeep(file);
  const { isMap, LineCounter, parseDocument } = loadYaml();
  const lineCounter = new LineCounter();
  try {
    const document = parseDocument(text, {
      lineCounter,
      schema: isJson ? 'json' : 'core',
      intAsBigInt: false,
      prettyErrors: false,
    });
    const [error] = document.errors;
    if (error !== undefined) {
      throw syntaxError(file, text, toPosition(lineCounter, error.pos[0]), error.message, error);
    }
    const root = document.contents;
    if (!isMap(root)) throw syntaxError(file, text, fileStart, 'not a table of sections');
    const value = document.toJS({ maxAliasCount }) as Record<string, unknown>;
    const places = new Map<string, KeyPlace>();
    collectPlaces(root, [], places, (offset) => toPosition(lineCounter, offset));
    return { file, value, places };
  } catch (cause) {
    // The parser and its aliases report what is too deep or too much as these.
    if (cause instanceof RangeError || cause instanceof ReferenceError) {
      throw syntaxError(file, text, fileStart, 'nested too deeply, or too many aliases', cause);
    }
    throw cause;
  }
}

function collectPlaces(
  node: Node | null,
  path: readonly string[],
  places: Map<string, KeyPlace>,
  positionAt: (offset: number) => Position,
): void {
  const { isAlias, isMap, isScalar, isSeq } = loadYaml();
  if (isMap(node)) {
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const inner = [...path, isScalar(pair.key) ? String(pair.key.value) : String(pair.key)];
      const keyOffset = pair.key.range?.[0] ?? 0;
      const key = positionAt(keyOffset);
      places.set(inner.join('.'), { key, value: positionAt(pair.value?.range?.[0] ?? keyOffset) });
      collectPlaces(pair.value, inner, places, positionAt);
    }
  } else if (isSeq(node)) {
    for (const [index, item] of (node.items as (Node | null)[]).entries()) {
      const inner = [...path, String(index)];
      const place = positionAt(item?.range?.[0] ?? node.range?.[0] ?? 0);
      places.set(inner.join('.'), { key: place, value: place });
      if (!isAlias(item)) collectPlaces(item, inner, places, positionAt);
    }
  }
}

function toPosition(lineCounter: LineCounter, offset: number): Position {
  const { line, col } = lineCounter.linePos(offset);
  return { line, column: col };
}
