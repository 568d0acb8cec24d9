import { LongscanError, type Plan } from '@longscan/worker/protocol';
import { suggest } from './spec/edit-distance.js';
import { unitsIn } from './units.js';

/** What every launcher is told besides its own options. */
export interface LauncherOptions {
  /** Program and arguments that start a rank, an argv array: no shell ever reads it. */
  readonly command: readonly [string, ...string[]];
  /** Folder for `rank-N.log`; absolute. */
  readonly logDir: string;
  /** Cores of one host, shared by its ranks when the job does not say how many threads a rank has. */
  readonly numCores: number;
}

/** One process that would be started. */
export interface RankProcess {
  readonly rank: number;
  readonly host: string;
  readonly command: readonly [string, ...string[]];
  /** Set over the environment of the launching process. */
  readonly env: Readonly<Record<string, string>>;
  readonly logPath: string;
}

/** What would be run: pure data, printed by `longscan plan --print`. */
export interface LaunchRequest {
  readonly launcher: string;
  readonly ranks: readonly RankProcess[];
}

/** What only a launch under way knows: where the coordinator listens and where each rank's keys lie. */
export interface LaunchSession {
  /** Variables for one rank, over those of the request. */
  env(rank: number): Readonly<Record<string, string>>;
  /** Called once per rank when its process has ended, however it ended. */
  onExit(exit: RankExit): void;
}

/** How a rank's process ended. */
export interface RankExit {
  readonly rank: number;
  readonly host: string;
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not even be started. */
  readonly startError: string | null;
}

export interface RankState {
  readonly rank: number;
  readonly host: string;
  readonly pid: number | null;
  readonly exit: RankExit | null;
}

/** A launched set of ranks. Methods never throw for ranks that have already ended. */
export interface Submission {
  describe(): Promise<readonly RankState[]>;
  /** Ends every rank that still runs, at once and together with its children; resolves when all are gone. Idempotent. */
  cancel(): Promise<void>;
  /** Last lines that a rank has written since this launch, oldest first. */
  logs(rank: number, maxLines: number): Promise<readonly string[]>;
}

/**
 * One way to start the ranks of a plan. A launcher is a file in this folder whose default export is made by
 * `defineLauncher`. The contract with the process it starts is the environment (RANK, LOCAL_RANK, WORLD_SIZE,
 * LONGSCAN_*) and nothing else; the number of ranks is the plan's.
 */
export interface Launcher {
  /** The file's name without its ending. */
  readonly name: string;
  /** What would be run. Pure: the same arguments give the same request, and nothing is touched. */
  request(plan: LaunchPlan, options: LauncherOptions): LaunchRequest;
  submit(request: LaunchRequest, session: LaunchSession): Promise<Submission>;
}

/** The part of a plan that a launcher reads. */
export interface LaunchPlan {
  readonly mesh: Pick<Plan['mesh'], 'numRanks'>;
  readonly jobSpec: { readonly device: { readonly threads: number | 'auto' } };
}

export function defineLauncher(launcher: Launcher): Launcher {
  return launcher;
}

/** Names of the launchers, sorted. */
export function listLaunchers(): readonly string[] {
  return unitsIn(new URL('launchers/', import.meta.url));
}

/** @throws LongscanError E-REG (exit code 2) for a name that is not in the folder. */
export async function loadLauncher(name: string): Promise<Launcher> {
  const names = listLaunchers();
  if (!names.includes(name)) {
    throw new LongscanError({
      code: 'E-REG',
      where: 'launch.launcher',
      found: `unknown launcher ${JSON.stringify(name)}`,
      expected: `one of ${names.join(', ')}`,
      exitCode: 2,
      fix: suggest(name, names),
    });
  }
  const unit = (await import(new URL(`launchers/${name}.js`, import.meta.url).href)) as { default: Launcher };
  return unit.default;
}
