import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CurveLine } from './curve-line.js';

function written(isTTY: boolean): string {
  let text = '';
  const line = new CurveLine({ isTTY, write: (part: string) => (text += part) }, {});
  line.show({ stage: 'simulating', point: 2, numPoints: 6, sp: 4096, strategy: 'all-gather' });
  line.showCrossings();
  line.clear();
  return text;
}

test('a curve ~> what is under way, on a terminal alone', () => {
  assert.is(
    written(true),
    'simulating 2 of 6: sp 4,096, all-gather\r\x1b[2Klooking for where scans overtake the chain\r\x1b[2K',
  );
  assert.is(written(false), '');
  const nowhere = new CurveLine(null);
  nowhere.showCrossings();
  nowhere.clear();
});

test.run();
