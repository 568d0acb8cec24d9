import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openAddon } from './load-addon.js';

const sources = fileURLToPath(new URL('../src/', import.meta.url));

interface Declaration {
  readonly name: string;
  readonly arity: number;
}

/** The text between the brace or parenthesis at `open` and its partner. */
function enclosed(text: string, open: number): string {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if ('([{<'.includes(text[i]!)) depth++;
    // `=>` closes nothing.
    if (')]}'.includes(text[i]!) || (text[i] === '>' && text[i - 1] !== '=')) depth--;
    if (depth === 0) return text.slice(open + 1, i);
  }
  throw new Error('unbalanced');
}

/** Elements of the tuple types that a file declares, by name. */
type TupleSizes = ReadonlyMap<string, number>;

function tupleSizesIn(text: string): TupleSizes {
  const found = [...text.matchAll(/type (\w+) = readonly \[/g)];
  return new Map(
    found.map((match) => [match[1]!, countParameters(enclosed(text, match.index + match[0].length - 1))]),
  );
}

/**
 * Parameters in a parameter list: commas outside of any bracket, a trailing one not counted. `...args: [..]` counts what is
 * in it, `...name: Tuple` in there the tuple's elements.
 */
function countParameters(list: string, tuples: TupleSizes = new Map()): number {
  const rest = /^\.\.\.\w+:\s*\[([\s\S]*)\],?$/.exec(list.trim())?.[1];
  if (rest !== undefined) {
    const spreads = [...rest.matchAll(/\.\.\.\w+:\s*(\w+)/g)].map((match) => tuples.get(match[1]!)! - 1);
    return spreads.reduce((sum, more) => sum + more, countParameters(rest));
  }
  let depth = 0;
  let count = list.trim() === '' ? 0 : 1;
  const text = list.trim().replace(/,$/, '');
  for (const char of text.replaceAll('=>', '')) {
    if ('([{<'.includes(char)) depth++;
    if (')]}>'.includes(char)) depth--;
    if (char === ',' && depth === 0) count++;
  }
  return count;
}

/** Methods declared in every `interface Native { ... }` of a file, in order. */
function declarationsIn(source: string): Declaration[] {
  const text = source.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
  const tuples = tupleSizesIn(text);
  const result: Declaration[] = [];
  for (const match of text.matchAll(/interface Native\s*\{/g)) {
    const body = enclosed(text, match.index + match[0].length - 1);
    for (let at = 0; at < body.length; ) {
      const method = /(\w+)\(/g;
      method.lastIndex = at;
      const found = method.exec(body);
      if (found === null) break;
      const open = found.index + found[0].length - 1;
      const parameters = enclosed(body, open);
      result.push({ name: found[1]!, arity: countParameters(parameters, tuples) });
      // On to the end of this method's return type, which may hold parentheses of its own.
      at = body.indexOf(';', open + parameters.length + 2);
      if (at === -1) break;
      const brace = body.slice(open + parameters.length + 2, at).indexOf('{');
      if (brace !== -1) {
        const begin = open + parameters.length + 2 + brace;
        at = begin + enclosed(body, begin).length + 1;
      }
    }
  }
  return result;
}

const files = readdirSync(sources, { recursive: true, encoding: 'utf8' })
  .filter((path) => /(^|\/)native\.ts$/.test(path))
  .sort();
const declared = files.map((file) => ({ file, list: declarationsIn(readFileSync(sources + file, 'utf8')) }));

test('the parser of declarations understands what native.ts files may hold', () => {
  const source = `
    type Common = readonly [a: number, b: number | null];
    export interface Native {
      /** comment(with, parentheses): void; */
      none(): void;
      one(a: number): { level: number; name(x: number): string };
      two(a: (x: number, y: number) => void, b: Map<string, readonly [number, number]>): Promise<void>; // three(a)
      trailing(
        a: number,
        b: { c: number; d: number } | null,
        e: readonly number[],
      ): void;
      spread(...args: [...common: Common, c: number, d: readonly [number, number]]): void;
    }`;
  assert.equal(declarationsIn(source), [
    { name: 'none', arity: 0 },
    { name: 'one', arity: 1 },
    { name: 'two', arity: 2 },
    { name: 'trailing', arity: 3 },
    { name: 'spread', arity: 4 },
  ]);
});

test('every function of the addon is declared once, with its number of arguments, and nothing else is', () => {
  const { arities } = openAddon();
  const found = declared.flatMap(({ file, list }) => list.map((declaration) => ({ file, ...declaration })));
  assert.ok(found.length > 30, `only ${found.length} declarations found in ${files.join(', ')}`);
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const { file, name, arity } of found) {
    if (seen.has(name)) problems.push(`${file}: ${name} is declared twice`);
    seen.add(name);
    if (arities[name] === undefined) problems.push(`${file}: ${name} is not in the addon`);
    else if (arities[name] !== arity) {
      problems.push(`${file}: ${name} has ${arity} parameters, the addon's has ${arities[name]}`);
    }
  }
  for (const name of Object.keys(arities)) {
    if (!seen.has(name)) problems.push(`${name} of the addon is declared nowhere`);
  }
  assert.equal(problems, []);
});

test('each file declares its functions in the order of its binding', () => {
  const order = Object.keys(openAddon().arities);
  for (const { file, list } of declared) {
    const positions = list.map(({ name }) => order.indexOf(name));
    assert.equal(
      positions,
      positions.slice().sort((a, b) => a - b),
      file,
    );
  }
});

test.run();
