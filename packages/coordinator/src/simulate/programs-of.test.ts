import type { ExchangeEntry, OpEntry, Schedule, ScheduleEntry } from '@longscan/worker';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Engine } from './engine.js';
import type { Instruction } from './program.js';
import { programsOf } from './programs-of.js';

const fabric = { latencyS: 1e-5, gapS: 1e-6, bandwidthBytesPerS: 1e9 };
const [compute, sp] = [0, 1];

const op = (flops: number): OpEntry => ({ kind: 'op', stream: compute, name: 'mul', bytes: 0, flops });
const send: ExchangeEntry = {
  ...{ kind: 'exchange', stream: sp, group: 'sp' },
  ...{ sends: [{ peer: 1, bytes: 8 }], recvs: [] },
};
const schedule = (...entries: ScheduleEntry[]): Schedule => ({ streams: ['compute', 'sp'], entries });

function programs(schedules: readonly Schedule[], engine: Engine = 'tcp', numSteps = 1) {
  const mesh = { sp: schedules.length, dp: 1, numRanks: schedules.length };
  const options = { mesh, engine, fabric, numSteps, secondsOf: ({ flops }: OpEntry) => flops };
  return programsOf(schedules, options).map(({ streams }) =>
    Object.fromEntries(streams.map(({ name, instructions }) => [name, instructions])),
  );
}

const kindsOf = (instructions: readonly Instruction[] | undefined) => instructions!.map(({ kind }) => kind);

test('streams ~> each with its own instructions; ops that nothing comes between are one', () => {
  const record = { kind: 'record', stream: compute, event: 0 } as const;
  const [first] = programs([schedule(op(1), send, op(2), record, op(3)), schedule()]);
  assert.equal(first!.compute, [
    { kind: 'busy', seconds: 3 },
    { kind: 'record', event: 0 },
    { kind: 'busy', seconds: 3 },
  ]);
  assert.equal(kindsOf(first!.sp), ['exchange']);
});

test('what is alike ~> one object, in all steps and on all ranks', () => {
  const alike = schedule(op(1), send, op(1), send);
  const [first, second] = programs([alike, alike], 'tcp', 2);
  const exchanges = new Set(first!.sp);
  assert.is(first!.sp!.length, 4);
  assert.is(exchanges.size, 1);
  assert.is(first!.compute![0], second!.compute![0]);
});

test('events of later steps ~> numbers of their own; one recorded further on is that of the step before', () => {
  const wait = { kind: 'wait', stream: sp, event: 0 } as const;
  const record = { kind: 'record', stream: compute, event: 0 } as const;
  const [first] = programs([schedule(wait, record)], 'tcp', 3);
  const events = (instructions: readonly Instruction[]) =>
    instructions.map((one) => (one.kind === 'record' || one.kind === 'wait' ? one.event : null));
  assert.equal(events(first!.compute!), [0, 1, 2]);
  assert.equal(events(first!.sp!), [0, 1], 'nothing is waited for in the first step');
});

test('collectives ~> messages of their engine; of too many messages, as a whole', () => {
  const gather = (bytes: number, size: number, engine: Engine) => {
    const entry = { kind: 'collective', stream: sp, group: 'sp', verb: 'allGather', bytes } as const;
    return programs(
      Array.from({ length: size }, () => schedule(entry)),
      engine,
    )[0]!.sp!;
  };
  const isInKernel = (engine: Engine) =>
    gather(2 ** 20, 4, engine).flatMap((one) =>
      one.kind === 'exchange' ? one.sends.map(({ inKernel = false }) => inKernel) : [],
    );
  assert.equal(new Set(isInKernel('tcp')), new Set([false]));
  assert.equal(new Set(isInKernel('nccl')), new Set([true]));
  assert.equal(kindsOf(gather(2 ** 10, 200, 'nccl')), ['meeting']);
});

test.run();
