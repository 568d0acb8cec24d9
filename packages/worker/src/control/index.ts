export { ControlClient } from './control-client.js';
export {
  enterPhase,
  enterStep,
  numProgressWords,
  type Progress,
  progressWord,
  readProgress,
} from './progress.js';
export { type RankEnv, readRankEnv } from './rank-env.js';
