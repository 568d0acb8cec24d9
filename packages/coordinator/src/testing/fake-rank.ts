import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ControlClient, enterPhase, enterStep, readRankEnv } from '@longscan/worker/control';
import type { StepMetrics } from '@longscan/worker/protocol';
import type { FakeFault } from './fake-job.js';
import { until } from './processes.js';

/**
 * A rank that speaks the protocol and computes nothing: each step is a pause. `LONGSCAN_FAKE_FAULT` tells it how to
 * go wrong. Entry of a process.
 */

const fault = JSON.parse(process.env.LONGSCAN_FAKE_FAULT ?? '{"kind":"none"}') as FakeFault;
const env = readRankEnv(process.env);
const isFaulty = (kind: FakeFault['kind'], step: number): boolean =>
  fault.kind !== 'none' && fault.kind === kind && fault.rank === env.rank && fault.step === step;

if (isFaulty('absent', 0)) await new Promise(() => setInterval(() => {}, 1000));
const { control, assignment } = await ControlClient.connect(env);
console.error(`fake rank ${env.rank} of ${env.worldSize}, process ${process.pid}`);

/** A rank that waits ends by what it waits for, which rejects. */
let isSaving = false;
let stop: { readonly save: boolean } | null = null;
control.onStop((asked) => {
  stop = asked;
});
control.onAbort((reason) => {
  console.error(`aborted: ${reason}`);
  if (!(fault.kind === 'ignore-abort' && fault.rank === env.rank) && !isSaving) process.exit(8);
});

const table = await control.exchangeAddresses({ sp: `127.0.0.1:${10_000 + env.rank}` });
console.error(`peers: ${table.ranks.map(({ addresses }) => addresses.sp).join(' ')}`);
enterPhase(control.progress, 'forward');

const { steps } = assignment.plan!.jobSpec.job;
const firstStep = Number(/step-(\d+)$/.exec(assignment.resumeFrom ?? 'step-0')?.[1]);
const stepMs = Number(process.env.LONGSCAN_FAKE_STEP_MS ?? 5);
const gate = process.env.LONGSCAN_FAKE_GATE ?? '';
let step = firstStep;
while (step < steps && stop === null) {
  step++;
  enterStep(control.progress, step);
  if (step === steps && gate !== '') await until(() => existsSync(gate));
  await misbehave(step);
  if (stepMs > 0) await delay(stepMs);
  control.report(metrics(step));
}
const saveGate = process.env.LONGSCAN_FAKE_SAVE_GATE ?? '';
if (saveGate !== '') await save();
if (env.rank === 0) {
  control.report({ type: 'validation', step, validationLoss: 1.5, bigramEntropy: null });
  control.report({ type: 'incident', severity: 'warning', code: 'W-FAKE', message: 'a made-up incident' });
}
control.report({ type: 'done', result: { step, validationLoss: 1.5, checkpoint: null } });
console.error('task done');
const closed = control.close();
if (fault.kind === 'quit' && fault.rank === env.rank) {
  // Time for the request to have been seen.
  await delay(500);
  process.exit(fault.exitCode);
}
await closed;
if (fault.kind === 'linger' && fault.rank === env.rank) await delay(fault.ms);
process.exit(0);

async function save(): Promise<void> {
  enterPhase(control.progress, 'checkpoint');
  if (env.rank === 0) {
    await until(() => existsSync(saveGate));
    const name = `step-${String(step).padStart(6, '0')}`;
    control.report({ type: 'checkpoint', step, name, bytes: 1, saveMs: 1 });
  }
  console.error('waits for the checkpoint');
  isSaving = true;
  try {
    await control.checkpointSaved();
  } catch (error) {
    console.error(String(error));
    process.exit(8);
  }
  isSaving = false;
  console.error(`goes on, ${existsSync(saveGate) ? '' : 'not '}saved`);
}

async function misbehave(now: number): Promise<void> {
  if (isFaulty('kill', now)) process.kill(process.pid, 'SIGKILL');
  if (isFaulty('stop-process', now)) process.kill(process.pid, 'SIGSTOP');
  if (isFaulty('exit', now)) process.exit(fault.kind === 'exit' ? fault.exitCode : 0);
  if (isFaulty('block', now) || isFaulty('ignore-abort', now)) for (;;);
  if (isFaulty('malformed', now)) control.report({ ...metrics(now), tokens: -1 });
  if (isFaulty('fail', now)) {
    control.report({
      type: 'failed',
      code: 'E-DIVERGED',
      where: `step ${now}`,
      found: 'the loss is not finite',
      expected: 'a finite loss',
      fix: 'lower optimizer.lr',
      exitCode: 5,
      stack: null,
    });
    await control.close();
    process.exit(5);
  }
}

function metrics(now: number): StepMetrics {
  return {
    type: 'step',
    step: now,
    loss: 1 / now,
    gradNorm: 1,
    lr: 0.001,
    tokens: 100,
    stepMs: 5,
    spExposedMs: 0,
    spBytesSentForward: env.rank === env.worldSize - 1 ? 0 : 64,
    spBytesSentBackward: env.rank === 0 ? 0 : 64,
    peakBytes: 1000,
    mfu: null,
    extra: {},
  };
}
