import type { Plan } from '@longscan/worker/protocol';
import { momentsBytesPerParameter } from './plan.js';

/** Of one checkpoint: parameters in f32 and AdamW's two moments as they are held. */
export function checkpointBytes({ jobSpec, perRank }: Plan): number {
  return (4 + momentsBytesPerParameter(jobSpec)) * perRank.numParameters;
}
