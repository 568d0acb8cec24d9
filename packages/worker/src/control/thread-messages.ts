import type { Assignment } from '../protocol/assignment.js';
import type { Done, Failed, RankTable, Ready, Report } from '../protocol/messages.js';
import type { RankEnv } from './rank-env.js';

/** What the control thread is started with. */
export interface ControlThreadData {
  readonly env: RankEnv;
  /** Words of `progress.ts`. */
  readonly progress: Int32Array;
  /** Words of `exitWord`. */
  readonly exit: Int32Array;
}

/** Handshake of the process's end, in shared memory because an exit handler cannot await anything. */
export const exitWord = { requested: 0, closed: 1 } as const;

/** Values of `exitWord.requested`: send what there is to send first, or end within the exit handler's patience. */
export const exitRequest = { none: 0, orderly: 1, now: 2 } as const;

export const numExitWords = 2;

/** Main thread to control thread: what to send to the coordinator. */
export interface ToControlThread {
  readonly body: Report | Ready | Done | Failed;
}

/** Control thread to main thread. */
export type FromControlThread =
  | { readonly kind: 'welcome'; readonly assignment: Assignment }
  | { readonly kind: 'refused'; readonly code: string; readonly reason: string }
  | { readonly kind: 'rank-table'; readonly table: RankTable }
  | { readonly kind: 'stop'; readonly save: boolean }
  | { readonly kind: 'saved' }
  | { readonly kind: 'abort'; readonly reason: string };
