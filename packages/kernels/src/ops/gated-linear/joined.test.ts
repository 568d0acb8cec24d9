import { test } from 'uvu';
import { checkRecurrence } from '../../testing/index.js';
import { joinedProblem } from './problem.js';

for (const [i, shape] of [
  { B: 1, T: 1, H: 1, K: 8, V: 8 },
  { B: 2, T: 21, H: 2, K: 8, V: 16, starts: [3, 9] },
  { B: 1, T: 70, H: 1, K: 12, V: 12 },
].entries()) {
  const check = joinedProblem(shape, i);
  test(`${check.name} ~> as of q, k and v apart`, () => checkRecurrence(check));
}

test.run();
