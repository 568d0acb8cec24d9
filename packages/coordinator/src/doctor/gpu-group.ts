import { describeCarrier } from '@longscan/worker';
import type { Fact, Refusal } from '@longscan/worker/protocol';
import { askFact } from './ask-fact.js';
import { type Check, checkOf } from './check.js';

const name = 'gpu links';

/** NCCL takes seconds to connect the GPUs of a host. */
const deadlineMs = 45_000;

/**
 * Connects all GPUs as the ranks of a job are, a process for each, and sees whether they reach each other's memory: what the
 * driver promises and what a container lets through are two things.
 *
 * @param isPossible Whether NCCL and every GPU could be opened, and kernels run on them.
 */
export async function checkGroup(numGpus: number, isPossible: boolean): Promise<Check> {
  if (numGpus < 2) return { name, status: 'absent', found: 'one GPU' };
  if (!isPossible)
    return { name, status: 'absent', found: 'not tried without NCCL, and kernels on every GPU' };
  const size = String(numGpus);
  let followers: readonly ReturnType<typeof ask>[] = [];
  const ask = (args: readonly string[], onGroupId?: (id: string) => void) =>
    askFact('group', args, { deadlineMs, ...(onGroupId && { onGroupId }) });
  const first = await ask(['0', size], (id) => {
    followers = Array.from({ length: numGpus - 1 }, (_, i) => ask([String(i + 1), size, id]));
  });
  return checkLinks(first, await Promise.all(followers));
}

/** By what each rank of a group over all GPUs has found. */
export function checkLinks(first: Fact<'group'>, others: readonly Fact<'group'>[]): Check {
  if (!first.ok) return notConnected(first);
  const refused = others.find((fact) => !fact.ok);
  if (refused !== undefined) return notConnected(refused);
  // The same on all ranks.
  const chains = first.value;
  const found = `NCCL connects ${1 + others.length} GPUs; chains ${describeCarrier(chains)}`;
  if (chains.carrier === 'mapped-memory' || chains.isChosen) return { name, status: 'ok', found };
  const fix =
    'chains are slower so; in a container, let it share the IPC and process namespaces of its ranks';
  return { name, status: 'warning', found, fix };
}

function notConnected(refused: Refusal): Check {
  const fix =
    refused.fix ?? 'NCCL_DEBUG=INFO in the environment of a job of two ranks says more in their logs';
  return checkOf(name, 'failed', { ...refused, found: `NCCL does not connect: ${refused.found}`, fix });
}
