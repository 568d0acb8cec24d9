import { type ErrorParts, LongscanError } from '@longscan/worker/protocol';

/** Everything that is wrong with a job, found in one pass. The message has one line per problem. */
export class JobErrors extends LongscanError {
  readonly problems: readonly LongscanError[];

  constructor(problems: readonly [LongscanError, ...LongscanError[]]) {
    const codes = new Set(problems.map((problem) => problem.code));
    const hasUsageError = problems.some((problem) => problem.exitCode === 2);
    super({
      code: codes.size === 1 ? problems[0].code : 'E-CFG',
      where: 'job',
      found: `${problems.length} problems`,
      exitCode: hasUsageError ? 2 : problems[0].exitCode,
    });
    this.message = problems.map((problem) => problem.message).join('\n');
    this.problems = problems;
  }
}

/** Collects problems so that a user sees all of them, not the first. */
export class ProblemList {
  private readonly problems: LongscanError[] = [];

  get isEmpty(): boolean {
    return this.problems.length === 0;
  }

  /** A problem of configuration (exit code 2) unless the parts say otherwise. */
  add(parts: ErrorParts): void {
    this.problems.push(new LongscanError({ exitCode: 2, ...parts }));
  }

  /** A problem that another part of longscan has already put in words. */
  addError(error: LongscanError): void {
    this.problems.push(error);
  }

  /** Throws what was collected: the problem itself when there is one, a `JobErrors` when there are more. */
  throwIfAny(): void {
    const [first, ...rest] = this.problems;
    if (first === undefined) return;
    throw rest.length === 0 ? first : new JobErrors([first, ...rest]);
  }
}
