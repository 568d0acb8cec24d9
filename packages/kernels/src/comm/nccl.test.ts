import { test } from 'uvu';
import { checkCollectives } from './testing/check-group.js';
import { openFakeNcclGroup } from './testing/groups.js';

// Over a fake NCCL on fake GPUs, through the real binding.

for (const numRanks of [1, 2, 3, 4]) {
  test(`NCCL collectives ~> ${numRanks} ranks`, async () => {
    const group = await openFakeNcclGroup(numRanks);
    await checkCollectives(group.comms);
    await group.close();
  });
}

test.run();
