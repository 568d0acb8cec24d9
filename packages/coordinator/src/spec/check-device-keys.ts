import type { JobFile, JobSpec } from '@longscan/worker/protocol';
import type { SchemaChecked } from './check-schema.js';
import type { MergedJob } from './merge.js';
import type { ProblemList } from './problems.js';

/** What carries tensors between ranks on each kind of device. */
const engines = { cpu: 'tcp', cuda: 'nccl' } as const;

/** The engine that a job means. */
export function engineOf({ kind, engine }: JobFile['device']): JobSpec['device']['engine'] {
  return engine === 'auto' ? engines[kind] : engine;
}

/** What only one kind of device can do. */
export function checkDeviceKeys(
  { job: { job, model, device } }: Pick<SchemaChecked, 'job'>,
  merged: MergedJob,
  problems: ProblemList,
): void {
  const { kind } = device;
  const add = (key: string, found: unknown, expected: unknown, other: string) =>
    problems.add({
      code: 'E-CFG-UNSUPPORTED',
      where: merged.placeOf(key.split('.')),
      found: `${JSON.stringify(found)} with device.kind = "${kind}"`,
      expected: JSON.stringify(expected),
      fix: `${key} = ${JSON.stringify(expected)}${other}`,
    });
  const engine = engineOf(device);
  if (engine !== engines[kind]) {
    const other = Object.entries(engines).find(([, carrier]) => carrier === engine);
    add('device.engine', engine, engines[kind], other ? `, or device.kind = "${other[0]}"` : '');
  }
  if (kind === 'cpu') {
    // CPUs only store it.
    if (model.precision === 'bf16') add('model.precision', 'bf16', 'f32', ', or device.kind = "cuda"');
  } else if (job.deterministic) {
    add('job.deterministic', true, false, ', or device.kind = "cpu"');
  }
}
