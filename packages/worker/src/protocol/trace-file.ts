import { z } from 'zod';
import { traceHeaderVersion } from './trace-place.js';

/** `otherData` of a rank's trace: whose it is, and what its times are to be compared with. */
export const traceHeaderSchema = z.strictObject({
  version: z.literal(traceHeaderVersion),
  rank: z.int().min(0),
  host: z.string(),
  /** Names a start of the host's kernel: ranks with the same one share the monotonic clock that their times are of. */
  bootId: z.string(),
  /** What has to be added to that clock for microseconds since 1970 by the host's wall clock. */
  wallMinusMonotonicUs: z.number(),
});

export type TraceHeader = z.infer<typeof traceHeaderSchema>;
