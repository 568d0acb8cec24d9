import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  type Fact,
  type FactName,
  factMessageSchema,
  factSchemas,
  type Refusal,
} from '@longscan/worker/protocol';

export interface AskOptions {
  /** Default: that of this process. */
  readonly env?: NodeJS.ProcessEnv;
  /** The process is killed when so much has passed. */
  readonly deadlineMs: number;
  /** The process is killed when this is aborted; the answer is then of no use. */
  readonly signal?: AbortSignal | undefined;
  /** Is told the id of a group that the process begins. */
  readonly onGroupId?: (id: string) => void;
}

/**
 * Finds a fact in a process of its own, since this one never opens the native library and a driver may hang or crash.
 *
 * @returns the outcome once the process is gone; its death and its deadline are refusals too.
 */
export async function askFact<N extends FactName>(
  name: N,
  args: readonly string[],
  { env = process.env, deadlineMs, signal, onGroupId }: AskOptions,
): Promise<Fact<N>> {
  const program = fileURLToPath(import.meta.resolve('@longscan/worker/facts'));
  const child = fork(program, [name, ...args], {
    execArgv: [],
    env,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let outcome: unknown = null;
  let lastWords = '';
  let isLate = false;
  child.stderr!.on('data', (text: Buffer) => {
    lastWords = `${lastWords}${text}`.slice(-2000);
  });
  child.on('message', (message) => {
    const told = factMessageSchema.parse(message);
    if (told.kind === 'group-id') onGroupId?.(told.id);
    else outcome = told.outcome;
  });
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, deadlineMs);
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  signal?.addEventListener('abort', kill);
  if (signal?.aborted) kill();
  const end = await new Promise<string>((resolve) => {
    child.on('error', ({ message }) => resolve(`its process cannot be started (${message})`));
    child.on('close', (code, by) => resolve(`its process ended by ${by ?? `exit code ${code}`}`));
  });
  clearTimeout(timer);
  process.off('exit', kill);
  signal?.removeEventListener('abort', kill);
  if (outcome !== null) return factSchemas[name].parse(outcome) as Fact<N>;
  const late: Refusal = { ok: false, code: 'E-DEADLINE', found: `no answer within ${deadlineMs / 1000} s` };
  const reason = lastWords.trim().split('\n').at(-1);
  const died: Refusal = { ok: false, code: 'E-DIED', found: reason ? `${end}: ${reason}` : end };
  return (isLate ? late : died) as Fact<N>;
}
