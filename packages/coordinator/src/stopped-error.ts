import { LongscanError } from '@longscan/worker/protocol';

/** A stop that came before there was anything to stop. */
export function stoppedError(name: string): LongscanError {
  return new LongscanError({
    code: 'E-RUN-KILLED',
    where: name,
    found: 'the run was stopped before it was started',
    exitCode: 130,
  });
}
