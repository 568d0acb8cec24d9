import { formatSeconds, formatTable } from '../format.js';
import type { StepTime } from './step-time.js';

/** The time of a step for people, below the plan. */
export function formatStepTime(step: StepTime): string {
  const { stepSeconds, tokensPerSecond, ranks, fabric, compute, notes } = step;
  const range = (of: (rank: StepTime['ranks'][number]) => number): string => {
    const [least, most] = [Math.min(...ranks.map(of)), Math.max(...ranks.map(of))].map(formatSeconds);
    return least === most ? `${most}` : `${least} to ${most} by rank`;
  };
  const rows = [
    ['step time', `${formatSeconds(stepSeconds)} (modelled)`],
    ['tokens/s', Math.round(tokensPerSecond).toLocaleString('en-US')],
    ['computing', range(({ busyS }) => busyS)],
    ...(ranks.length === 1
      ? []
      : [
          ['waiting for states', range(({ exposedS }) => exposedS)],
          ['waiting for gradients', range(({ exposedGradientS }) => exposedGradientS)],
        ]),
    ['based on', `links of ${fabric}; ops on ${compute}`],
  ];
  return [formatTable(rows), ...notes.map((note) => `\nnote: ${note}`)].join('\n');
}
