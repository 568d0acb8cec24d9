import { loadYaml } from './load-yaml.js';

/** Nesting that begins on one line: its indentation, and what `- - - -` or `? ? ? ?` adds on the line itself. */
interface OpenLine {
  readonly indent: number;
  levels: number;
}

/**
 * True when a YAML text nests deeper than `limit` (counted generously). Read from the lexer's flat list of tokens: the
 * parser recurses, and running out of stack inside it can end the process instead of throwing.
 */
export function nestsDeeperThan(limit: number, text: string): boolean {
  const { CST, Lexer } = loadYaml();
  const open: OpenLine[] = [];
  let depth = 0;
  let flowDepth = 0;
  let indent: number | null = 0;
  for (const token of new Lexer().lex(text)) {
    const type = CST.tokenType(token);
    if (type === 'newline') indent = 0;
    else if (type === 'space' && indent !== null) indent += token.length;
    else if (type !== 'comment' && indent !== null) {
      depth += openLine(open, indent);
      indent = null;
    }
    const line = open.at(-1);
    if (line !== undefined && (type === 'seq-item-ind' || type === 'explicit-key-ind')) {
      line.levels++;
      depth++;
    } else if (type === 'flow-seq-start' || type === 'flow-map-start') flowDepth++;
    else if (type === 'flow-seq-end' || type === 'flow-map-end') flowDepth--;
    if (depth + flowDepth > limit) return true;
  }
  return false;
}

/** Closes the lines that a line of this indentation ends, opens it, and gives the change in depth. */
function openLine(open: OpenLine[], indent: number): number {
  let change = 1;
  for (let last = open.at(-1); last !== undefined && last.indent >= indent; last = open.at(-1)) {
    change -= last.levels;
    open.pop();
  }
  open.push({ indent, levels: 1 });
  return change;
}
