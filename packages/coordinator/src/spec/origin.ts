/** A place in a text file, both counted from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Where a value of a job came from; later kinds win over earlier ones. */
export type Origin =
  | { readonly kind: 'default' }
  | { readonly kind: 'derived'; readonly from: string }
  | { readonly kind: 'file'; readonly file: string; readonly key: Position; readonly value: Position }
  | { readonly kind: 'script' }
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'set' };

/** As it stands in a comment of job.resolved.toml. */
export function formatOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'default':
      return 'default';
    case 'derived':
      return `from ${origin.from}`;
    case 'file':
      return `${origin.file}:${origin.key.line}:${origin.key.column}`;
    case 'script':
      return 'script';
    case 'env':
      return `env ${origin.name}`;
    case 'set':
      return '--set';
  }
}

/** The `where` of an error about `key`, pointing at the key itself or at its value. */
export function formatPlace(
  key: string,
  origin: Origin | undefined,
  jobName: string,
  point: 'key' | 'value',
): string {
  switch (origin?.kind) {
    case 'file': {
      const { line, column } = origin[point];
      return `${origin.file}:${line}:${column} ${key}`;
    }
    case 'env':
      return `env ${origin.name} ${key}`;
    case 'set':
      return `--set ${key}`;
    default:
      return `${jobName} ${key}`;
  }
}
