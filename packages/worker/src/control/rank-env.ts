import { LongscanError } from '@longscan/kernels/errors';

/** The contract between a launcher and a rank process: the environment it is started with. */
export interface RankEnv {
  readonly rank: number;
  /** Index among the ranks of this host. */
  readonly localRank: number;
  /** Ranks of this host. */
  readonly localWorldSize: number;
  readonly worldSize: number;
  /** ZeroMQ endpoint of the coordinator. */
  readonly endpoint: string;
  readonly jobId: string;
  readonly epoch: number;
  /** Path of the KeyFile. */
  readonly keyFile: string;
  /** Compute threads of this rank. */
  readonly numThreads: number;
  /** File descriptor of a pipe whose end of file means that the coordinator is dead. */
  readonly lifelineFd: number | null;
}

/** @throws LongscanError E-RANK-ENV (exit code 3) for a variable that is missing or malformed. */
export function readRankEnv(env: Readonly<Record<string, string | undefined>>): RankEnv {
  const worldSize = readInteger(env, 'WORLD_SIZE', 1, 65_536);
  return {
    rank: readInteger(env, 'RANK', 0, worldSize - 1),
    localRank: readInteger(env, 'LOCAL_RANK', 0, worldSize - 1),
    localWorldSize: readInteger(env, 'LOCAL_WORLD_SIZE', 1, worldSize),
    worldSize,
    endpoint: readText(env, 'LONGSCAN_COORDINATOR'),
    jobId: readText(env, 'LONGSCAN_JOB_ID'),
    epoch: readInteger(env, 'LONGSCAN_EPOCH', 1, 2 ** 31 - 1),
    keyFile: readText(env, 'LONGSCAN_KEY_FILE'),
    numThreads: env.OMP_NUM_THREADS === undefined ? 1 : readInteger(env, 'OMP_NUM_THREADS', 1, 1024),
    lifelineFd:
      env.LONGSCAN_LIFELINE_FD === undefined ? null : readInteger(env, 'LONGSCAN_LIFELINE_FD', 3, 1023),
  };
}

function readText(env: Readonly<Record<string, string | undefined>>, name: string): string {
  const value = env[name];
  if (value === undefined || value === '') throw badVariable(name, 'it is not set', 'a value');
  return value;
}

function readInteger(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
  min: number,
  max: number,
): number {
  const text = readText(env, name);
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw badVariable(name, `'${text}'`, `an integer from ${min} to ${max}`);
  }
  return value;
}

function badVariable(name: string, found: string, expected: string): LongscanError {
  return new LongscanError({
    code: 'E-RANK-ENV',
    where: `environment variable ${name}`,
    found,
    expected,
    fix: 'start ranks through longscan train or launch(), which set it',
    exitCode: 3,
  });
}
