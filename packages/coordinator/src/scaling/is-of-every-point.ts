import type { LongscanError } from '@longscan/worker/protocol';

/** Whether what stopped one point of a curve stops them all: an interruption, or layers whose code has ended what computes with it. */
export function isOfEveryPoint({ code }: LongscanError): boolean {
  return code === 'E-RUN-KILLED' || code === 'E-ENDED';
}
