import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from '@longscan/coordinator';
import { connectTcp, fromArray, openCpuDevice, openListener } from '@longscan/kernels';
import type { StepRow } from '@longscan/worker/protocol';
import { connectionsBetween, freeAll, isAlone, limitConnection, runAlone } from './limited-link.js';

/**
 * How much of the states' way between two ranks of examples/moby-dick is hidden behind computation, over a link that is so
 * slow that it would take a fifth of the step if nothing were: Linux only, in a network namespace of its own. Only the
 * connection that carries the states is limited, so that the sum of gradients costs what it always does.
 *
 *     node scripts/dist/overlap.js [STEPS]
 */
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const job = path.join(root, 'examples/moby-dick/job.toml');
const numSteps = Number(process.argv[2] ?? 40);
/** Steps that warm caches up, or see the link change, and are not counted. */
const warmUp = 5;
/** Of the job's model, one state each. */
const numLayers = 4;
/** Part of a step that the scans would take with nothing beside them. */
const target = 0.2;

interface Sample {
  readonly link: string;
  readonly rows: readonly StepRow[];
}

/** Steps of the job; `bytesPerS`: of the link that carries states, null for the loopback as it is. */
async function train(bytesPerS: number | null): Promise<StepRow[]> {
  const runDir = mkdtempSync(path.join(tmpdir(), 'longscan-overlap-'));
  try {
    const run = await launch(job, {
      runDir,
      overrides: {
        'job.steps': numSteps + 2 * warmUp,
        'data.validation': 0,
        'data.baseline': 'none',
        'device.threads': 1,
      },
    });
    const rows: StepRow[] = [];
    for await (const row of run.steps()) {
      rows.push(row);
      if (row.step === warmUp && bytesPerS !== null) limitConnection(statePort(runDir), bytesPerS);
    }
    await run.done;
    return rows.slice(2 * warmUp);
  } finally {
    freeAll();
    rmSync(runDir, { recursive: true, force: true });
  }
}

/** The port of the connection that carries states: gradients are far more bytes. */
function statePort(runDir: string): number {
  const pidOf = (rank: number) => {
    const log = readFileSync(path.join(runDir, 'logs', `rank-${rank}.log`), 'utf8');
    return Number(/process (\d+)/.exec(log)?.[1]);
  };
  const connections = connectionsBetween([pidOf(0), pidOf(1)]);
  if (connections.length !== 2) throw new Error(`${connections.length} connections between the ranks, not 2`);
  const [states] = connections.sort((a, b) => a.bytesMoved - b.bytesMoved);
  return states!.port;
}

/** What messages of these sizes take one after the other, there and back, with nothing beside them. */
async function timeAlone(messageBytes: readonly number[], bytesPerS: number): Promise<number> {
  const devices = [openCpuDevice(), openCpuDevice()];
  const listeners = devices.map(() => openListener('127.0.0.1'));
  const addresses = listeners.map(({ port }) => ({ host: '127.0.0.1', port }));
  const group = {
    jobId: 'overlap',
    axis: 'sp',
    token: 'the token of this script',
    epoch: 1,
    addresses,
    timeoutMs: 60_000,
  };
  try {
    const communicators = await Promise.all(
      devices.map((device, rank) => connectTcp({ ...group, device, rank, listener: listeners[rank]! })),
    );
    limitConnection(listeners[0]!.port, bytesPerS);
    const start = performance.now();
    for (const sender of [0, 1]) {
      for (const bytes of messageBytes) {
        const buffers = devices.map((device) => fromArray(device, new Float32Array(bytes / 4), [bytes / 4]));
        await Promise.all(devices.map(({ compute }) => compute.sync()));
        communicators[sender]!.send(buffers[sender]!, 1 - sender);
        communicators[1 - sender]!.recv(buffers[1 - sender]!, sender);
        await communicators[1 - sender]!.stream.sync();
      }
    }
    return performance.now() - start;
  } finally {
    freeAll();
    for (const listener of listeners) listener.close();
    for (const device of devices) device.close();
  }
}

function quantile(values: readonly number[], part: number): number {
  return [...values].sort((a, b) => a - b)[Math.round(part * (values.length - 1))]!;
}

function describe({ link, rows }: Sample): string {
  const steps = rows.map(({ stepMs }) => stepMs);
  const exposed = rows.map(({ spExposedMs }) => spExposedMs!); // known on CPUs
  const range = (values: readonly number[]) =>
    `${quantile(values, 0.05).toFixed(0)} – ${quantile(values, 0.95).toFixed(0)}`;
  const share = (100 * quantile(exposed, 0.5)) / quantile(steps, 0.5);
  const cells = [
    ...[link, quantile(steps, 0.5).toFixed(0), range(steps)],
    ...[quantile(exposed, 0.5).toFixed(1), range(exposed), `${share.toFixed(1)} %`],
  ];
  return `| ${cells.join(' | ')} |`;
}

async function measure(): Promise<void> {
  const free = await train(null);
  const stepMs = quantile(
    free.map((row) => row.stepMs),
    0.5,
  );
  const bytesPerStep = free[0]!.spBytesSent;
  const bytesPerS = bytesPerStep / ((target * stepMs) / 1000);
  const states = Array.from({ length: numLayers }, () => bytesPerStep / 2 / numLayers);
  const aloneMs = await timeAlone(states, bytesPerS);
  const limited = await train(bytesPerS);
  const mbit = ((8 * bytesPerS) / 1e6).toFixed(2);
  console.log(`${cpus()[0]?.model}, ${cpus().length} cores; ${numSteps} steps each; milliseconds`);
  console.log(
    `${bytesPerStep} bytes a step at ${mbit} Mbit/s alone: ${aloneMs.toFixed(0)} ms, ${((100 * aloneMs) / stepMs).toFixed(1)} % of a step\n`,
  );
  console.log('| link for states | step | p5 – p95 | exposed | p5 – p95 | exposed / step |');
  console.log('| --- | --- | --- | --- | --- | --- |');
  console.log(describe({ link: 'loopback', rows: free }));
  console.log(describe({ link: `${mbit} Mbit/s`, rows: limited }));
}

if (isAlone()) await measure();
else process.exitCode = runAlone();
