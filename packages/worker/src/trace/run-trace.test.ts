import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { traceHeaderSchema } from '../protocol/trace-file.js';
import { exposedMsOf, readTraceFile } from '../testing/trace.js';
import { batchOf } from '../testing/train-on-text.js';
import { openTrainingRanks } from '../testing/training-ranks.js';
import { trainStep } from '../training/train-step.js';
import type { Training } from '../training/training.js';
import { RunTrace } from './run-trace.js';
import { monotonicUs, type StepTimes } from './step-tracer.js';

const lengths = [48, 48];
const spec = jobSpecSchema.parse({
  model: {
    ...{ dModel: 32, numLayers: 2, numHeads: 2, vocabSize: 40, mlp: 32 },
    layers: ['gla', 'linear-attention'].map((use) => ({ use, options: {}, file: null })),
  },
  data: { path: 'unused', sequenceLength: 96 },
});

async function withRanks(
  window: string | null,
  body: (ranks: readonly Training[], traces: readonly RunTrace[], runDir: string) => Promise<void>,
): Promise<void> {
  const runDir = mkdtempSync(join(tmpdir(), 'longscan-run-trace-'));
  const ranks = await openTrainingRanks(spec, { lengths, strategy: 'ring' });
  try {
    const traces = ranks.map((training, rank) => new RunTrace({ training, rank, runDir, window }));
    await body(ranks, traces, runDir);
  } finally {
    for (const { device } of ranks) device.close();
    rmSync(runDir, { recursive: true, force: true });
  }
}

/**
 * Enqueues a step on all ranks as the trainer does; the times of each. Compute begins when all of it is enqueued, so that no
 * wait is left out because what it is for was over before.
 */
function enqueue(
  ranks: readonly Training[],
  traces: readonly RunTrace[],
  number: number,
): Promise<StepTimes>[] {
  const gates = ranks.map(({ device }) => device.compute.closeGate());
  const pending = ranks.map((training, rank) => {
    const tracing = traces[rank]!.begin(number);
    tracing.enterHost('data');
    const batch = batchOf(48 * rank + number, 48, 192);
    tracing.enterHost('enqueue');
    const result = trainStep(training, [batch], number, 1e-3, { stop: false, save: false });
    const times = tracing.end();
    return result.then(() => times);
  });
  for (const openGate of gates) openGate();
  return pending;
}

const fileOf = (runDir: string, rank: number): string => join(runDir, 'traces', `rank-${rank}.json`);

test('a window of steps ~> one file a rank with these steps, their streams, phases and collectives', () =>
  withRanks('2-3', async (ranks, traces, runDir) => {
    for (const number of [1, 2, 3, 4]) {
      const times = await Promise.all(enqueue(ranks, traces, number));
      times.forEach(({ traced }, rank) => {
        assert.is(traced?.number ?? null, number === 2 || number === 3 ? number : null);
        if (traced !== null) traces[rank]!.write(traced);
      });
      // Once its last step is written the file is whole, though the run goes on.
      if (number === 3) assert.match(readFileSync(fileOf(runDir, 0), 'utf8'), /\n\]\}\n$/);
    }
    for (const rank of [0, 1]) {
      const path = fileOf(runDir, rank);
      traceHeaderSchema.parse(JSON.parse(readFileSync(path, 'utf8')).otherData);
      const { spans, numArrows, dropped } = readTraceFile(path);
      assert.equal(dropped, []);
      assert.ok(numArrows > 0);
      assert.equal([...new Set(spans.map((span) => span.rank))], [rank]);
      for (const step of [2, 3]) {
        const ofStep = spans.filter((span) => span.step === step);
        const names = (thread: string) =>
          ofStep.filter((span) => span.thread === thread).map(({ name }) => name);
        assert.equal(names('host'), ['data', 'enqueue']);
        assert.equal(names('step'), [`step ${step}`, 'forward', 'backward', 'reduce', 'update']);
        const compute = names('compute');
        for (const op of [
          'linearForward',
          'gatedLinearSweep',
          'adamwUpdate',
          'wait for sp-0',
          'wait for world',
        ])
          assert.ok(compute.includes(op), `${op} in ${[...new Set(compute)]}`);
        // Which phase an op is in shows when it ran.
        const phase = (name: string) => ofStep.find((span) => span.cat === 'phase' && span.name === name)!;
        const isIn = (op: string, name: string) =>
          ofStep
            .filter((span) => span.thread === 'compute' && span.name === op)
            .every(({ beginUs, endUs }) => phase(name).beginUs <= beginUs && endUs <= phase(name).endUs);
        assert.ok(isIn('embeddingForward', 'forward') && isIn('adamwUpdate', 'update'));
        assert.ok(isIn('crossEntropyForward', 'forward') && isIn('wait for world', 'reduce'));
        assert.is(names('world').filter((name) => name.startsWith('allReduce #')).length, 1);
        const messages = ofStep.filter((span) => span.thread === 'sp-0' && span.cat === 'collective');
        assert.ok(
          messages.length > 0 && messages.every(({ name, args }) => name === `exchange #${args.number}`),
        );
        // A ring's states go one way in the forward pass and the other way in the backward pass.
        const sent = messages.reduce((sum, { args }) => sum + (args.bytesSent as number), 0);
        assert.ok(sent > 0);
      }
      const numbers = spans
        .flatMap(({ thread, args }) => (thread === 'sp-0' ? [args.number ?? []] : []))
        .flat();
      assert.equal(
        numbers,
        [...numbers].sort((a, b) => (a as number) - (b as number)),
      );
    }
  }));

test('exposed communication ~> the waits of the trace, added up; known of steps outside of the window too', () =>
  withRanks('1', async (ranks, traces, runDir) => {
    /** One step, in which rank 0 sends nothing before the gate opens, so that rank 1's compute stands still. */
    const runHeld = async (number: number) => {
      const openGate = ranks[0]!.mesh.sp!.stream.closeGate();
      const pending = Promise.all(enqueue(ranks, traces, number));
      await new Promise((done) => setTimeout(done, 20));
      const openedUs = monotonicUs();
      openGate();
      return { openedUs, times: await pending };
    };
    const { openedUs, times } = await runHeld(1);
    for (const [rank, { spExposedMs, traced }] of times.entries()) {
      traces[rank]!.write(traced!);
      const trace = readTraceFile(fileOf(runDir, rank));
      const sum = exposedMsOf(trace, rank, 1);
      // The file has nanoseconds.
      assert.ok(Math.abs(sum - spExposedMs) < 1e-4, `${sum} in the trace, ${spExposedMs} reported`);
      if (rank === 0) continue;
      const held = trace.spans.filter(({ name, endUs }) => name === 'wait for sp-0' && endUs >= openedUs);
      assert.ok(held.length > 0, 'no wait ended after the gate was opened');
    }
    const later = await runHeld(2);
    assert.is(later.times[1]!.traced, null);
    assert.ok(later.times[1]!.spExposedMs > 0);
  }));

test('nothing to write, or nowhere ~> no file', async () => {
  await withRanks(null, async (ranks, traces, runDir) => {
    const times = await Promise.all(enqueue(ranks, traces, 1));
    assert.ok(times.every(({ traced }) => traced === null));
    for (const trace of traces) trace.close();
    assert.not(existsSync(join(runDir, 'traces')));
  });
  await withRanks('1-9', async (ranks) => {
    const traces = ranks.map(
      (training, rank) => new RunTrace({ training, rank, runDir: null, window: '1-9' }),
    );
    const times = await Promise.all(enqueue(ranks, traces, 1));
    assert.ok(times.every(({ traced }) => traced === null));
  });
});

test('a run that ends inside of its window ~> a whole file', () =>
  withRanks('1-9', async (ranks, traces, runDir) => {
    const times = await Promise.all(enqueue(ranks, traces, 1));
    times.forEach(({ traced }, rank) => {
      traces[rank]!.write(traced!);
    });
    for (const trace of traces) trace.close();
    assert.equal([...new Set(readTraceFile(fileOf(runDir, 1)).spans.map(({ step }) => step))], [1]);
  }));

test('steps under way together ~> in the order of time, each event with its own step', () =>
  withRanks('1-2', async (ranks, traces, runDir) => {
    // The second is enqueued, and begins on the host, before the first begins to run.
    const gates = ranks.map(({ device }) => device.compute.closeGate());
    const first = enqueue(ranks, traces, 1);
    const second = enqueue(ranks, traces, 2);
    for (const openGate of gates) openGate();
    for (const pending of [first, second]) {
      for (const [rank, { traced }] of (await Promise.all(pending)).entries()) traces[rank]!.write(traced!);
    }
    for (const rank of [0, 1]) {
      const { spans } = readTraceFile(fileOf(runDir, rank));
      const enqueued = spans.find(({ name, step }) => name === 'enqueue' && step === 2)!;
      const updated = spans.filter(({ name, step }) => name === 'adamwUpdate' && step === 1);
      assert.ok(updated.every(({ endUs }) => endUs > enqueued.beginUs));
    }
  }));

test.run();
