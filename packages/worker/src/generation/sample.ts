import { createHash } from 'node:crypto';

/**
 * Chooses a token from logits. Temperature 0 takes the likeliest; otherwise draws from softmax(logits / temperature),
 * the same draws for the same seed on every machine.
 */
export function sampler(temperature: number, seed: number): (logits: Float64Array) => number {
  let draw = 0;
  return (logits) => {
    let best = 0;
    for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
    if (temperature === 0) return best;
    const weights = logits.map((logit) => Math.exp((logit - logits[best]!) / temperature));
    let rest = uniform(seed, draw++) * weights.reduce((sum, weight) => sum + weight, 0);
    for (let i = 0; i < weights.length; i++) {
      rest -= weights[i]!;
      if (rest < 0) return i;
    }
    return best;
  };
}

/** The draw-th uniform number in [0, 1) of a seed. */
function uniform(seed: number, draw: number): number {
  return createHash('sha256').update(`${seed}/${draw}`).digest().readUInt32LE(0) / 2 ** 32;
}
