import { LongscanError } from '@longscan/worker/protocol';

/**
 * What is wrong with a command line: E-CLI-USAGE, exit code 2.
 *
 * @param expected Null where `found` says it.
 */
export function usage(
  where: string,
  found: string,
  expected: string | null,
  fix = 'the command with --help shows what it takes',
): LongscanError {
  return new LongscanError({
    ...{ code: 'E-CLI-USAGE', where, found, fix, exitCode: 2 },
    ...(expected !== null && { expected }),
  });
}
