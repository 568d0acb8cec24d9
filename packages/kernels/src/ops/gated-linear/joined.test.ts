import { test } from 'uvu';
import { checkRecurrence, randomNormal } from '../../testing/index.js';
import { joinedGatedLinear } from './joined.js';

for (const [B, T, H, K, V] of [
  [1, 1, 1, 8, 8],
  [2, 21, 2, 8, 16],
  [1, 70, 1, 12, 12],
] as const) {
  const parts = 2 + V / K;
  test(`joined heads B=${B} T=${T} H=${H} K=${K} V=${V} ~> as of q, k and v apart`, () =>
    checkRecurrence({
      name: `${joinedGatedLinear.name} B=${B} T=${T} H=${H} K=${K} V=${V}`,
      op: joinedGatedLinear,
      inputs: {
        qkv: { values: randomNormal(B * T * parts * H * K, 1), shape: [B, T, parts, H, K], role: 'token' },
      },
    }));
}

test.run();
