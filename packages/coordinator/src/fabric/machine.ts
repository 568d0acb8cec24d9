import { createHash } from 'node:crypto';
import { availableParallelism, cpus, hostname } from 'node:os';

/** Where links were measured. */
export interface Machine {
  /** First 12 hex digits of the SHA-256 of the host's name: tells hosts apart without naming them. Null: not known. */
  readonly host: string | null;
  readonly cpu: string;
  readonly cores: number;
}

export function thisMachine(): Machine {
  return {
    host: createHash('sha256').update(hostname()).digest('hex').slice(0, 12),
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: availableParallelism(),
  };
}

/** Whether what was measured on `a` says something of `b`: the same kind of machine, and the same host if both are known. */
export function isSameMachine(a: Machine, b: Machine): boolean {
  if (a.host !== null && b.host !== null && a.host !== b.host) return false;
  return a.cpu === b.cpu && a.cores === b.cores;
}

export function describeMachine({ host, cpu, cores }: Machine): string {
  const name = host === null ? '' : `, host ${host}`;
  return `${cpu}, ${cores} ${cores === 1 ? 'core' : 'cores'}${name}`;
}
