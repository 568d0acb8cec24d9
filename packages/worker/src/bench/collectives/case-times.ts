import type { CollectiveTimes } from '../../protocol/collectives.js';
import type { MeasuredCase } from './measured-case.js';
import type { Sample } from './sample.js';

/** This rank's times by case, in the order in which cases first came; samples of the same case are put together. */
export class CaseTimes {
  readonly #byCase = new Map<string, CollectiveTimes>();

  add({ what, isTimed }: MeasuredCase, samples: readonly Sample[]): void {
    const key = JSON.stringify(what);
    const times = this.#byCase.get(key) ?? { ...what, samplesS: isTimed ? [] : null, hostS: [] };
    this.#byCase.set(key, times);
    times.samplesS?.push(...samples.map(({ seconds }) => seconds));
    times.hostS.push(...samples.map(({ hostSeconds }) => hostSeconds));
  }

  get all(): CollectiveTimes[] {
    return [...this.#byCase.values()];
  }
}
