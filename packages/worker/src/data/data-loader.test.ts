import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import type { Plan, Slice } from '../protocol/plan.js';
import type { Batch } from './batch.js';
import { DataLoader } from './data-loader.js';
import { uniformDraws } from './permutation.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-data-'));
const file = path.join(dir, 'text');
const draw = uniformDraws(11);
const text = Uint8Array.from({ length: 4000 }, () => draw(256));
writeFileSync(file, text);
test.after(() => rmSync(dir, { recursive: true }));

interface Cut {
  sp: number;
  dp: number;
  /** Other keys of `[data]`. */
  data?: object;
  sequenceLength?: number;
  accumulate?: number;
  vocabSize?: number;
}

const batchSize = 4;

/** A plan as the coordinator makes it, as far as data goes: slices of whole chunks of 16, padding at the end. */
function planFor({ sp, dp, sequenceLength = 200, accumulate = 1, vocabSize = 256, data = {} }: Cut): Plan {
  const length = Math.ceil(sequenceLength / (sp * 16)) * 16;
  const slices: Slice[] = Array.from({ length: sp }, (_, i) => ({
    start: i * length,
    length,
    numTokens: Math.min(length, sequenceLength - i * length),
  }));
  const jobSpec = jobSpecSchema.parse({
    data: { path: file, validation: 0.2, sequenceLength, batchSize, accumulate, ...data },
    model: { layers: [{ use: 'gla', options: {}, file: null }], mlp: 0, vocabSize },
    parallel: { sp, dp },
  });
  const sequencesPerRank = batchSize / dp;
  return { jobSpec, mesh: { sp, dp, numRanks: sp * dp }, slices, sequencesPerRank } as unknown as Plan;
}

type Field = 'tokens' | 'labels' | 'resets';

/** The whole sequences of a step, put together again from what the ranks got. */
function assemble(cut: Cut, field: Field, get: (loader: DataLoader) => Batch[]): number[][] {
  const plan = planFor(cut);
  const sequences: number[][] = [];
  for (let dpIndex = 0; dpIndex < cut.dp; dpIndex++) {
    const perRank = Array.from({ length: cut.sp }, (_, spIndex) => {
      const loader = new DataLoader(plan, dpIndex * cut.sp + spIndex);
      const batches = get(loader);
      loader.close();
      return batches;
    });
    perRank[0]!.forEach((batch, micro) => {
      for (let b = 0; b < batch.numSequences; b++)
        sequences.push(
          perRank.flatMap((batches) => {
            const { sliceLength, [field]: values } = batches[micro]!;
            return [...values!.slice(b * sliceLength, (b + 1) * sliceLength)];
          }),
        );
    });
  }
  return sequences;
}

test('labels are the next token of the whole sequence, across every rank border', () => {
  const tokens = assemble({ sp: 4, dp: 1 }, 'tokens', (loader) => loader.trainingBatches(0));
  const labels = assemble({ sp: 4, dp: 1 }, 'labels', (loader) => loader.trainingBatches(0));
  assert.is(tokens.length, batchSize);
  assert.equal(
    labels.map((sequence) => sequence.slice(0, 199)),
    tokens.map((sequence) => sequence.slice(1, 200)),
  );
  for (const sequence of labels) assert.ok(sequence[199]! >= 0, 'the last token has a label too');
});

test('padding is token 0 without a label, at the end', () => {
  const [tokens] = assemble({ sp: 4, dp: 1 }, 'tokens', (loader) => loader.trainingBatches(0));
  const [labels] = assemble({ sp: 4, dp: 1 }, 'labels', (loader) => loader.trainingBatches(0));
  assert.is(tokens!.length, 256);
  assert.ok(tokens!.slice(200).every((token) => token === 0));
  assert.ok(labels!.slice(200).every((label) => label === -1));
});

test('every cut of the ranks sees the same sequences, step by step', () => {
  for (const step of [0, 5]) {
    const whole = assemble({ sp: 1, dp: 1 }, 'labels', (loader) => loader.trainingBatches(step));
    for (const cut of [
      { sp: 2, dp: 1 },
      { sp: 3, dp: 2 },
      { sp: 1, dp: 4 },
      { sp: 2, dp: 2, accumulate: 2 },
    ]) {
      const labels = assemble(cut, 'labels', (loader) => loader.trainingBatches(step));
      assert.equal(
        labels.map((sequence) => sequence.slice(0, 200)),
        whole.map((sequence) => sequence.slice(0, 200)),
      );
    }
  }
});

test('numValidTokens is the step’s count over all ranks and micro-batches', () => {
  for (const cut of [
    { sp: 1, dp: 1 },
    { sp: 4, dp: 2, accumulate: 2 },
  ]) {
    const labels = assemble(cut, 'labels', (loader) => loader.trainingBatches(1));
    const loader = new DataLoader(planFor(cut), 0);
    for (const batch of loader.trainingBatches(1))
      assert.is(batch.numValidTokens, labels.flat().filter((label) => label !== -1).length);
    loader.close();
  }
});

test('validation holds the held-out text once, in order, however it is cut', () => {
  const heldOut = [...text.subarray(3200)];
  for (const cut of [
    { sp: 1, dp: 1 },
    { sp: 3, dp: 1 },
    { sp: 2, dp: 2 },
    { sp: 1, dp: 1, sequenceLength: 3000 },
  ]) {
    const perDp = assemble(cut, 'labels', (loader) => loader.validationBatches());
    const numValid = perDp.flat().filter((label) => label !== -1).length;
    assert.is(numValid, heldOut.length - 1);
    if (cut.dp === 1)
      assert.equal(
        perDp.flat().filter((label) => label !== -1),
        heldOut.slice(1),
      );
    const loader = new DataLoader(planFor(cut), 0);
    assert.is(loader.validationBatches()[0]!.numValidTokens, heldOut.length - 1);
    loader.close();
  }
});

test('every rank gets equally many validation batches of one size', () => {
  const plan = planFor({ sp: 2, dp: 4 });
  const shapes = Array.from({ length: 8 }, (_, rank) => {
    const loader = new DataLoader(plan, rank);
    const batches = loader.validationBatches();
    loader.close();
    return batches.map(({ numSequences, sliceLength }) => `${numSequences}x${sliceLength}`).join();
  });
  assert.is(new Set(shapes).size, 1);
});

const documents = path.join(dir, 'documents');
/** 'A' begins each of these, and no other byte is one; 2400 bytes. */
const lengths = [1, 2, 700, 1, 1, 64, 200, 5, 226, 300, 150, 450, 299, 1];
writeFileSync(documents, lengths.map((length) => 'A'.padEnd(length, 'bcdefghijklm')).join(''));
const separator = { path: documents, separator: 'A', validation: 0.125 };

test('packing ~> resets where a document starts, no label at its end, on every cut of the ranks', () => {
  const data = { ...separator, packing: true };
  for (const cut of [
    { sp: 1, dp: 1, data },
    { sp: 4, dp: 2, accumulate: 2, data },
  ]) {
    const get = (field: Field) => assemble(cut, field, (loader) => loader.trainingBatches(3));
    const [tokens, labels, resets] = [get('tokens'), get('labels'), get('resets')];
    let numValid = 0;
    tokens.forEach((sequence, b) => {
      assert.equal(
        resets[b]!.slice(0, 200),
        sequence.slice(0, 200).map((token) => Number(token === 65)),
      );
      for (let t = 0; t < 200; t++) {
        const [label, next] = [labels[b]![t]!, sequence[t + 1]];
        if (label !== -1) numValid++;
        assert.ok(label !== 65, 'no token predicts the first of a document');
        if (t < 199) assert.is(label, next === 65 ? -1 : next);
      }
    });
    const loader = new DataLoader(planFor(cut), 0);
    assert.is(loader.trainingBatches(3)[0]!.numValidTokens, numValid);
    loader.close();
  }
});

test('packing ~> a slice knows how many tokens of its open document came before', () => {
  for (const carry of [false, true]) {
    const data = { ...separator, packing: true, carry, batchSize: 1 };
    const plan = planFor({ sp: 3, dp: 1, sequenceLength: 192, data });
    // Carried: the whole text in order; else windows of it, whose documents begin at the window.
    let before = 0;
    for (let step = 0; step < 5; step++) {
      if (!carry) before = 0;
      for (let rank = 0; rank < 3; rank++) {
        const loader = new DataLoader({ ...plan, sequencesPerRank: 1 }, rank);
        const [batch] = loader.trainingBatches(step);
        loader.close();
        if (batch!.resets![0] === 0) assert.is(batch!.openTokens![0], before, `step ${step}, rank ${rank}`);
        for (const reset of batch!.resets!) before = reset === 1 ? 1 : before + 1;
      }
    }
  }
});

test('documents that are not packed ~> each in sequences of its own, every label once an epoch', () => {
  for (const cut of [
    { sp: 1, dp: 1, data: separator },
    { sp: 2, dp: 2, data: separator },
  ]) {
    const numWindows = lengths.slice(0, 12).reduce((sum, n) => sum + Math.ceil((n - 1) / 200), 0);
    assert.is(numWindows % batchSize, 0, 'or an epoch would end within a step');
    let total = 0;
    for (let step = 0; step < numWindows / batchSize; step++) {
      const labels = assemble(cut, 'labels', (loader) => loader.trainingBatches(step)).flat();
      assert.not(labels.includes(65), 'no sequence goes on into another document');
      const numValid = labels.filter((label) => label !== -1).length;
      const loader = new DataLoader(planFor(cut), 0);
      const [batch] = loader.trainingBatches(step);
      loader.close();
      assert.is(batch!.numValidTokens, numValid);
      assert.is(batch!.resets, null);
      total += numValid;
    }
    assert.is(
      total,
      lengths.slice(0, 12).reduce((sum, n) => sum + n - 1, 0),
    );
    const validation = assemble(cut, 'labels', (loader) => loader.validationBatches());
    assert.is(validation.flat().filter((label) => label !== -1).length, 298);
  }
});

test('documents without a label are E-DATA-EMPTY', () => {
  writeFileSync(path.join(dir, 'ones'), 'AAAAAAAA');
  const data = { path: path.join(dir, 'ones'), separator: 'A', validation: 0 };
  assert.throws(
    () => new DataLoader(planFor({ sp: 1, dp: 1, data }), 0),
    /E-DATA-EMPTY.*more than one token/,
  );
});

test('a byte that the vocabulary lacks is E-DATA-VOCAB with its offset', () => {
  const loader = new DataLoader(planFor({ sp: 1, dp: 1, vocabSize: 128 }), 0);
  assert.throws(() => loader.trainingBatches(0), /E-DATA-VOCAB.*byte \d+.*vocabSize = 128/);
  loader.close();
});

test.run();
