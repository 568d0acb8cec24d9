import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { permutation, uniformDraws } from './permutation.js';

test('holds every index once', () => {
  for (const length of [0, 1, 2, 7, 1000]) {
    const sorted = [...permutation(length, 42, 3)].sort((a, b) => a - b);
    assert.equal(
      sorted,
      Array.from({ length }, (_, i) => i),
    );
  }
});

test('is the same for the same seed and round, and for no others', () => {
  const order = permutation(100, 42, 0).join();
  assert.is(permutation(100, 42, 0).join(), order);
  assert.is.not(permutation(100, 43, 0).join(), order);
  assert.is.not(permutation(100, 42, 1).join(), order);
});

test('never changes between versions: resumed runs must see the data they would have seen', () => {
  assert.equal([...permutation(8, 42, 0)], [1, 5, 2, 4, 6, 7, 3, 0]);
});

test('puts every index everywhere equally often', () => {
  const numRounds = 6000;
  const counts = new Float64Array(36);
  for (let round = 0; round < numRounds; round++)
    permutation(6, 1, round).forEach((value, position) => {
      counts[position * 6 + value]!++;
    });
  // Each count is binomial with mean 1000 and standard deviation 29; six of those is out of chance's reach.
  for (const count of counts) assert.ok(Math.abs(count - numRounds / 6) < 6 * 29, `${count} of ${numRounds}`);
});

test('draws stay below their bound', () => {
  const draw = uniformDraws(5);
  for (const bound of [1, 2, 3, 1000, 2 ** 32]) for (let i = 0; i < 50; i++) assert.ok(draw(bound) < bound);
});

test.run();
