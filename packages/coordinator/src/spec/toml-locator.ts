import type { KeyPlace } from './document.js';
import type { Position } from './origin.js';

/**
 * Finds the place of every key and array element of a TOML document that has already been parsed without error:
 * the parser gives values without positions. Paths are joined by dots, elements count from 0 (`model.layers.0.use`).
 */
export function locateTomlKeys(text: string): Map<string, KeyPlace> {
  return new TomlLocator(text).run();
}

class TomlLocator {
  private readonly places = new Map<string, KeyPlace>();
  private readonly arrayTableCounts = new Map<string, number>();
  private readonly lineStarts: number[] = [0];
  private offset = 0;

  constructor(private readonly text: string) {
    for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) this.lineStarts.push(i + 1);
  }

  run(): Map<string, KeyPlace> {
    let table: string[] = [];
    for (this.skipBlank(); this.offset < this.text.length; this.skipBlank()) {
      if (this.peek() === '[') table = this.readHeader();
      else this.readPair(table);
    }
    return this.places;
  }

  /** `[a.b]` or `[[a.b]]`: the path that the following keys belong to. */
  private readHeader(): string[] {
    const start = this.offset;
    const isArray = this.text.startsWith('[[', this.offset);
    this.offset += isArray ? 2 : 1;
    const parts = this.readKey();
    this.offset += isArray ? 2 : 1;
    const path: string[] = [];
    for (const [depth, part] of parts.entries()) {
      path.push(part);
      const name = path.join('.');
      const count = this.arrayTableCounts.get(name) ?? 0;
      const opensElement = isArray && depth === parts.length - 1;
      if (opensElement) this.arrayTableCounts.set(name, count + 1);
      // A header below an array of tables speaks of its last element.
      if (opensElement) path.push(String(count));
      else if (count > 0) path.push(String(count - 1));
    }
    const place = this.position(start);
    this.add(path, place, place);
    return path;
  }

  private readPair(table: readonly string[]): void {
    const start = this.offset;
    const path = [...table, ...this.readKey()];
    this.offset++; // '='
    this.skipSpaces();
    this.add(path, this.position(start), this.position(this.offset));
    this.readValue(path);
  }

  /** A dotted key, quoted parts included; stops at `=` or `]`. */
  private readKey(): string[] {
    const parts: string[] = [];
    for (;;) {
      this.skipSpaces();
      const char = this.peek();
      if (char === '"' || char === "'") {
        const start = this.offset;
        this.skipString();
        const raw = this.text.slice(start, this.offset);
        parts.push(char === '"' ? unescapeBasic(raw) : raw.slice(1, -1));
      } else {
        const bare = /[A-Za-z0-9_-]*/y;
        bare.lastIndex = this.offset;
        const word = bare.exec(this.text)?.[0] ?? '';
        parts.push(word);
        this.offset += word.length;
      }
      this.skipSpaces();
      if (this.peek() !== '.') return parts;
      this.offset++;
    }
  }

  private readValue(path: readonly string[]): void {
    const char = this.peek();
    if (char === '"' || char === "'") this.skipString();
    else if (char === '[') this.readArray(path);
    else if (char === '{') this.readInlineTable(path);
    else while (this.offset < this.text.length && !/[,\]}#\n]/.test(this.peek())) this.offset++;
  }

  private readArray(path: readonly string[]): void {
    this.offset++;
    for (let index = 0; ; index++) {
      this.skipBlank();
      if (this.peek() === ']' || this.offset >= this.text.length) break;
      const element = [...path, String(index)];
      const place = this.position(this.offset);
      this.add(element, place, place);
      this.readValue(element);
      this.skipBlank();
      if (this.peek() === ',') this.offset++;
    }
    this.offset++;
  }

  private readInlineTable(path: readonly string[]): void {
    this.offset++;
    for (;;) {
      this.skipBlank();
      if (this.peek() === '}' || this.offset >= this.text.length) break;
      this.readPair(path);
      this.skipBlank();
      if (this.peek() === ',') this.offset++;
    }
    this.offset++;
  }

  /** A basic or literal string, on one line or with three quotes. */
  private skipString(): void {
    const quote = this.peek();
    const isLong = this.text.startsWith(quote.repeat(3), this.offset);
    const end = isLong ? quote.repeat(3) : quote;
    this.offset += end.length;
    while (this.offset < this.text.length && !this.text.startsWith(end, this.offset)) {
      this.offset += quote === '"' && this.peek() === '\\' ? 2 : 1;
    }
    this.offset += end.length;
    // A long string may end in one or two quotes of its own: """say "hi"""""
    while (isLong && this.peek() === quote) this.offset++;
  }

  private skipSpaces(): void {
    while (this.peek() === ' ' || this.peek() === '\t') this.offset++;
  }

  /** Spaces, line ends and comments. */
  private skipBlank(): void {
    for (;;) {
      const char = this.peek();
      if (char === '#') {
        const lineEnd = this.text.indexOf('\n', this.offset);
        this.offset = lineEnd < 0 ? this.text.length : lineEnd;
      } else if (char !== '' && /\s/.test(char)) this.offset++;
      else return;
    }
  }

  private peek(): string {
    return this.text[this.offset] ?? '';
  }

  private add(path: readonly string[], key: Position, value: Position): void {
    this.places.set(path.join('.'), { key, value });
  }

  private position(offset: number): Position {
    let low = 0;
    let high = this.lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (this.lineStarts[low] ?? 0) + 1 };
  }
}

/** JSON has the same escapes but for `\U`, `\e` and `\x`, which no key of ours needs. */
function unescapeBasic(quoted: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return quoted.slice(1, -1);
  }
}
