import kvAllGather from '../../attention-strategies/kv-all-gather.js';
import type { AttentionStrategy } from '../../attention-strategy.js';

/** A strategy for softmax layers with one thing wrong. */
export interface BrokenAttentionStrategy {
  readonly fault: string;
  readonly strategy: AttentionStrategy;
  /** Name of a check that must fail. */
  readonly noticedBy: RegExp;
}

const { attend, cost } = kvAllGather;
const isExact = /1 rank = P ranks/;

/** LASP-2H with one thing wrong each. */
export const brokenAttentionStrategies: readonly BrokenAttentionStrategy[] = [
  {
    fault: 'boundaries of documents are ignored',
    strategy: broken({
      attend: (inputs, options, place) => attend(inputs, options, { ...place, positions: null }),
    }),
    noticedBy: /1 rank = P ranks.*documents packed/,
  },
  {
    fault: 'keys have no gradient',
    strategy: broken({
      attend: (inputs, ...rest) => attend({ ...inputs, k: inputs.k.view(inputs.k.shape) }, ...rest),
    }),
    noticedBy: isExact,
  },
  {
    fault: 'the window is ignored',
    strategy: broken({
      attend: (inputs, { window: _, ...options }, place) => attend(inputs, options, place),
    }),
    noticedBy: /1 rank = P ranks.*window/,
  },
  {
    fault: 'what was received is received again in a replay',
    strategy: broken({
      attend: (inputs, options, { received: _, ...place }) => attend(inputs, options, place),
    }),
    noticedBy: /replayed/,
  },
  {
    fault: 'it sends more than its cost says',
    strategy: broken({
      cost: (...call) => ({
        ...cost(...call),
        bytesSentBackward: cost(...call).bytesSentForward.map(() => 0),
      }),
    }),
    noticedBy: isExact,
  },
  {
    fault: 'it refuses in words of its own what it can do',
    strategy: broken({ refusal: () => 'heads that it does not like' }),
    noticedBy: /or are refused by name/,
  },
  {
    fault: 'its cost knows no latency',
    strategy: broken({ cost: (call, layout, link) => cost(call, layout, { ...link, latencyS: 0 }) }),
    noticedBy: /cost is nothing for one rank/,
  },
];

function broken(changes: Partial<AttentionStrategy>): AttentionStrategy {
  return { ...kvAllGather, name: 'broken', ...changes };
}
