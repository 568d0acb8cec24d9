import type { JobSpec } from '@longscan/worker/protocol';
import type { SessionTimeouts } from './rank-session.js';

/** The deadlines that a job sets its ranks. */
export function timeoutsOf({ launch }: Pick<JobSpec, 'launch'>): SessionTimeouts {
  return {
    rendezvousMs: launch.rendezvousTimeoutMs,
    heartbeatIntervalMs: launch.heartbeatIntervalMs,
    heartbeatTimeoutMs: launch.heartbeatTimeoutMs,
    collectiveMs: launch.collectiveTimeoutMs,
    stopMs: launch.stopTimeoutMs,
  };
}
