import { test } from 'uvu';
import { checkCollectives } from './testing/check-group.js';
import { openTcpGroup } from './testing/groups.js';

for (const numRanks of [1, 2, 3, 4]) {
  test(`TCP collectives ~> ${numRanks} ranks`, async () => {
    const group = await openTcpGroup(numRanks);
    await checkCollectives(group.comms);
    await group.close();
  });
}

test.run();
