import type { Refusal } from '@longscan/worker/protocol';
import type { CheckStatus } from './check.js';

/** What cannot be opened and was not asked for is absent; what is there and does not do has failed. */
export function libraryStatus({ code, found }: Refusal, isNeeded: boolean, variable: string): CheckStatus {
  const isMissing = code === 'E-ADDON' || /cannot be opened\. Tried/.test(found);
  return isMissing && !isNeeded && !isSet(variable) ? 'absent' : 'failed';
}

export const isSet = (variable: string): boolean => (process.env[variable] ?? '') !== '';
