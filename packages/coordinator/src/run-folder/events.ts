import type { StepRow, ValidationRow } from '@longscan/worker/protocol';

/** Version of the events' form, in the first event of every launch. */
export const eventSchema = 1;

/** What happened in a run besides steps and validations: rows of `events.jsonl`. */
export type JournalEvent =
  | {
      readonly event: 'run';
      readonly schema: number;
      readonly id: string;
      readonly runDir: string;
      readonly attempt: number;
    }
  | {
      readonly event: 'plan';
      readonly sp: number;
      readonly dp: number;
      readonly strategy: string;
      readonly blocks: number;
      readonly steps: number;
      readonly tokensPerStep: number;
      readonly numParameters: number;
      readonly notes: readonly string[];
    }
  | {
      readonly event: 'launch';
      readonly launcher: string;
      readonly numRanks: number;
      readonly resumeFrom: string | null;
      /** Steps that checkpoint has done; null for a start from the beginning. */
      readonly resumeStep: number | null;
    }
  | { readonly event: 'rendezvous'; readonly hosts: readonly string[] }
  | {
      readonly event: 'checkpoint';
      readonly step: number;
      readonly path: string;
      readonly bytes: number;
      readonly saveMs: number;
    }
  | {
      readonly event: 'incident';
      readonly severity: 'info' | 'warning';
      readonly code: string;
      readonly message: string;
      readonly rank: number | null;
    }
  | { readonly event: 'stop'; readonly save: boolean }
  | DoneEvent
  | ErrorEvent;

/** Last event of a run that ended well, stopped ones included. */
export interface DoneEvent {
  readonly event: 'done';
  readonly step: number;
  readonly validationLoss: number | null;
  /** Absolute path of the last committed checkpoint. */
  readonly checkpoint: string | null;
  /** False when the run was stopped before its last step. */
  readonly finished: boolean;
}

/** Last event of a run that failed. */
export interface ErrorEvent {
  readonly event: 'error';
  readonly code: string;
  readonly message: string;
  readonly exitCode: number;
  readonly rank: number | null;
  /** Last lines of that rank's log, oldest first; empty when no rank is to blame. */
  readonly logTail: readonly string[];
}

/** What `run.events()` yields, and `longscan train --json` prints, one per line. */
export type RunEvent =
  | JournalEvent
  | ({ readonly event: 'step' } & StepRow)
  | ({ readonly event: 'validation' } & ValidationRow);
