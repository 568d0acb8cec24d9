import { ownLine } from '../model/own-line.js';

/** One property that every unit of a seam must have. */
export interface Check {
  readonly name: string;
  /** Rejects, saying what was found, if the unit does not have it. */
  run(): Promise<void>;
}

export interface CheckResult {
  readonly check: string;
  readonly passed: boolean;
  /** What was found; null if it passed. */
  readonly detail: string | null;
  readonly ms: number;
}

/** Runs checks one after the other; a failure is a result, never a rejection. */
export async function runChecks(checks: readonly Check[]): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const { name, run } of checks) {
    const begin = performance.now();
    const detail = await run().then(
      () => null,
      (error: unknown) => (error instanceof Error ? describe(error) : String(error)),
    );
    results.push({ check: name, passed: detail === null, detail, ms: performance.now() - begin });
  }
  return results;
}

/** The message, and the line of the unit's own file where it came about, if it did there. */
function describe(error: Error): string {
  const line = ownLine(error);
  return line === null ? error.message : `${error.message} (${line})`;
}

/** Throws `message` unless the condition holds. */
export function demand(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}
