import { test } from 'uvu';
import { checkCollectives } from './testing/check-group.js';
import { openInProcessGroup } from './testing/groups.js';

for (const numRanks of [1, 2, 3, 4, 7, 8]) {
  test(`in-process collectives ~> ${numRanks} ranks`, async () => {
    const group = openInProcessGroup(numRanks);
    await checkCollectives(group.comms);
    await group.close();
  });
}

test.run();
