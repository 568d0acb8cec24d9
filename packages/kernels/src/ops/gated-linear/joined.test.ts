import { test } from 'uvu';
import { checkRecurrence, randomNormal } from '../../testing/index.js';
import { joinedGatedLinear } from './joined.js';

for (const [B, T, H, K] of [
  [1, 1, 1, 8],
  [2, 21, 2, 8],
  [1, 70, 1, 12],
] as const) {
  test(`joined heads B=${B} T=${T} H=${H} K=${K} ~> as of q, k and v apart`, () =>
    checkRecurrence({
      name: `${joinedGatedLinear.name} B=${B} T=${T} H=${H} K=${K}`,
      op: joinedGatedLinear,
      inputs: { qkv: { values: randomNormal(B * T * 3 * H * K, 1), shape: [B, T, 3, H, K], role: 'token' } },
    }));
}

test.run();
