import { jobFileSchema } from '@longscan/worker/protocol';
import { z } from 'zod';

/** The part of JSON Schema that the job schema comes out as. */
export interface SchemaNode {
  readonly type?: 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null';
  readonly description?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode | false;
  readonly prefixItems?: readonly SchemaNode[];
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly exclusiveMaximum?: number;
}

/** The job schema as data: what error messages, `--set` and the environment need to know about a key's type. */
const root = z.toJSONSchema(jobFileSchema, { io: 'input' }) as SchemaNode;

/** `['job', 'model', …]`, in the order of the contract. */
export const sectionNames: readonly string[] = [
  'job',
  'model',
  'data',
  'parallel',
  'optimizer',
  'checkpoint',
  'launch',
  'device',
];

/** Keys of one section, without the section's name; none for an unknown section. */
export function keysOfSection(section: string): readonly string[] {
  return Object.keys(
    Object.hasOwn(root.properties ?? {}, section) ? (root.properties?.[section]?.properties ?? {}) : {},
  );
}

/** Every key as `section.key`. */
export const allKeys: readonly string[] = sectionNames.flatMap((section) =>
  keysOfSection(section).map((key) => `${section}.${key}`),
);

/** The schema of `section.key` or of an element of its list, or null when there is no such key. */
export function schemaOfKey(path: readonly string[]): SchemaNode | null {
  const [section = '', key = '', ...elements] = path;
  if (!keysOfSection(section).includes(key)) return null;
  let node = root.properties?.[section]?.properties?.[key] ?? null;
  for (const element of elements) {
    const inner = node?.prefixItems?.[Number(element)] ?? node?.items;
    // A union's branches are described together, at the key.
    if (!inner) break;
    node = inner;
  }
  return node;
}

/** True when nothing but text fits, so that a raw text is taken as it stands. */
export function isTextOnly(node: SchemaNode): boolean {
  return alternatives(node).every((one) => one.type === 'string' || one.type === 'null');
}

/** The branches of a union, flattened; a plain schema is its own only branch. */
export function alternatives(node: SchemaNode): readonly SchemaNode[] {
  return node.anyOf === undefined ? [node] : node.anyOf.flatMap(alternatives);
}

/** In words, for an error's "expected": `an integer >= 1 or "auto"`. */
export function describeSchema(node: SchemaNode): string {
  if (node.description !== undefined) return node.description;
  return alternatives(node)
    .filter((one) => one.type !== 'null')
    .map(describeBranch)
    .join(' or ');
}

function describeBranch(node: SchemaNode): string {
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum !== undefined) return describeEnum(node.enum);
  switch (node.type) {
    case 'integer':
      return `an integer${describeRange(node)}`;
    case 'number':
      return `a number${describeRange(node)}`;
    case 'boolean':
      return 'true or false';
    case 'array':
      return node.items ? `a list, each element ${describeBranch(node.items)}` : 'a list';
    case 'object':
      return 'a table';
    default:
      return 'a string that is not empty';
  }
}

function describeEnum(values: readonly string[]): string {
  const quoted = values.map((value) => JSON.stringify(value));
  return quoted.length === 1 ? `${quoted[0]}` : `one of ${quoted.join(', ')}`;
}

function describeRange(node: SchemaNode): string {
  const bounds: string[] = [];
  if (node.minimum !== undefined) bounds.push(`>= ${node.minimum}`);
  if (node.exclusiveMinimum !== undefined) bounds.push(`> ${node.exclusiveMinimum}`);
  if (node.maximum !== undefined && node.maximum < Number.MAX_SAFE_INTEGER) bounds.push(`<= ${node.maximum}`);
  if (node.exclusiveMaximum !== undefined) bounds.push(`< ${node.exclusiveMaximum}`);
  return bounds.length === 0 ? '' : ` ${bounds.join(' and ')}`;
}
