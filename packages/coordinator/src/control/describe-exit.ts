import type { RankExit } from '../launcher.js';

/** One clause about a rank's end: `rank 3 on host was killed with SIGKILL (out of memory?) after 42 steps`. */
export function describeExit(exit: RankExit, numSteps: number): string {
  const rank = `rank ${exit.rank} on ${exit.host}`;
  if (exit.startError !== null) return `${rank} could not be started: ${exit.startError}`;
  return `${rank} ${describeCause(exit)} after ${numSteps} ${numSteps === 1 ? 'step' : 'steps'}`;
}

function describeCause({ exitCode, signal }: RankExit): string {
  switch (signal) {
    case 'SIGKILL':
      // Linux's out-of-memory killer uses this signal and leaves no other word.
      return 'was killed with SIGKILL (out of memory?)';
    case 'SIGSEGV':
    case 'SIGBUS':
    case 'SIGILL':
    case 'SIGFPE':
    case 'SIGABRT':
      return `crashed with ${signal}`;
    case null:
      return exitCode === 0 ? 'ended without finishing its task' : `ended with exit code ${exitCode}`;
    default:
      return `was ended with ${signal}`;
  }
}
