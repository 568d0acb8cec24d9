import type { CostsWithOrigin } from './load-compute.js';

export const cpu: CostsWithOrigin = {
  name: 'placeholder',
  ops: {},
  other: { launchS: 3e-6, secondsPerByte: 1e-10, secondsPerFlop: 1e-11 },
  ranksAtOnce: 2,
  slowdown: [1, 1.1],
};
