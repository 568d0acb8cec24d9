import { existsSync, readFileSync } from 'node:fs';
import type { Fact, Known, Refusal } from '@longscan/worker/protocol';
import { formatBytes } from '../format.js';
import { askFact } from './ask-fact.js';
import { type Check, type CheckStatus, checkOf } from './check.js';
import { checkGroup } from './gpu-group.js';
import { isSet, libraryStatus } from './library-status.js';

/** Opening a GPU takes a second or two; a driver that is broken may take for ever. */
const deadlineMs = 30_000;

/** What GPUs are wanted for. */
export interface GpuNeed {
  /** A job computes on them. */
  readonly isForJob: boolean;
  /** It has several ranks, which NCCL connects. */
  readonly needsNccl: boolean;
}

export type Gpu = Known<'gpu'>;

export interface GpuChecks {
  readonly checks: readonly Check[];
  /** Those that could be opened. */
  readonly gpus: readonly Gpu[];
}

const moduleVersionFile = '/proc/driver/nvidia/version';

/** Looks at the driver, each GPU, and the libraries, each in a process of its own and side by side. */
export async function checkGpus(need: GpuNeed): Promise<GpuChecks> {
  const [count, all, nccl] = await Promise.all([
    askFact('gpu-count', [], { deadlineMs }),
    countAll(),
    askFact('nccl', [], { deadlineMs }),
  ]);
  const ncclCheck = checkNccl(nccl, need);
  if (!count.ok) {
    const isHidden = all !== null && all > 0;
    const checks = isHidden ? hiddenChecks(all, need) : driverChecks(count, need);
    return { checks: [...checks, ncclCheck], gpus: [] };
  }
  const indices = Array.from({ length: count.value }, (_, index) => String(index));
  const facts = await Promise.all(indices.map((index) => askFact('gpu', [index], { deadlineMs })));
  const gpus = facts.flatMap((fact) => (fact.ok ? [fact.value] : []));
  const hidden =
    all === null || all <= count.value ? '' : `; CUDA_VISIBLE_DEVICES hides ${all - count.value} more`;
  const [first] = gpus;
  const canRun = nccl.ok && gpus.length === count.value && gpus.every(({ kernels }) => kernels.ok);
  const group = await checkGroup(count.value, canRun);
  return {
    checks: [
      { name: 'driver', status: 'ok', found: describeDriver(first?.driverVersion) },
      ...facts.map((fact, index) => checkGpu(index, fact, index === 0 ? hidden : '')),
      ...(first === undefined ? [] : [checkKernels(gpus, need), checkProducts(first.products, need)]),
      ncclCheck,
      group,
    ],
    gpus,
  };
}

/** GPUs without CUDA_VISIBLE_DEVICES; null: it is not set, or there are none either. */
async function countAll(): Promise<number | null> {
  const { CUDA_VISIBLE_DEVICES: visible, ...env } = process.env;
  if (visible === undefined) return null;
  const fact = await askFact('gpu-count', [], { env, deadlineMs });
  return fact.ok ? fact.value : null;
}

/** An empty CUDA_VISIBLE_DEVICES hides GPUs on purpose. */
function hiddenChecks(all: number, need: GpuNeed): Check[] {
  const visible = process.env.CUDA_VISIBLE_DEVICES;
  return [
    { name: 'driver', status: 'ok', found: describeDriver(undefined) },
    {
      name: 'gpus',
      status: need.isForJob || visible !== '' ? 'failed' : 'absent',
      found: `CUDA_VISIBLE_DEVICES = ${JSON.stringify(visible)} hides all ${all}`,
      expected: all === 1 ? '0' : `numbers from 0 to ${all - 1}`,
      fix: 'unset CUDA_VISIBLE_DEVICES, or name GPUs that there are',
    },
  ];
}

function driverChecks(refusal: Refusal, need: GpuNeed): Check[] {
  const status = driverStatus(refusal, need);
  const found = 'none without a driver; kernels, cuBLASLt and links between GPUs are not looked at';
  return [checkOf('driver', status, refusal), { name: 'gpus', status, found }];
}

/** A driver is missed by who wants one: a job, who names one, a host whose kernel has NVIDIA's module. */
function driverStatus({ code }: Refusal, need: GpuNeed): CheckStatus {
  if (code === 'E-ADDON') return 'absent';
  const isWanted = need.isForJob || isSet('LONGSCAN_CUDA_DRIVER') || existsSync(moduleVersionFile);
  return isWanted ? 'failed' : 'absent';
}

function describeDriver(version: number | undefined): string {
  const module = existsSync(moduleVersionFile)
    ? /\s(\d+\.[\d.]+)\s/.exec(readFileSync(moduleVersionFile, 'utf8'))?.[1]
    : undefined;
  const speaks = version === undefined ? null : `CUDA ${Math.floor(version / 1000)}.${(version % 1000) / 10}`;
  return [`NVIDIA${module === undefined ? '' : ` ${module}`}`, ...(speaks === null ? [] : [speaks])].join(
    ', ',
  );
}

function checkGpu(index: number, fact: Fact<'gpu'>, hidden: string): Check {
  const name = `gpu ${index}`;
  if (!fact.ok) return checkOf(name, 'failed', fact);
  const { name: model, capability, freeBytes, totalBytes } = fact.value;
  const memory = `${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} free`;
  const found = `${model}, compute capability ${(capability / 10).toFixed(1)}, ${memory}${hidden}`;
  return { name, status: 'ok', found };
}

/** One library for all GPUs: the first on which it does not run says why. */
function checkKernels(gpus: readonly Gpu[], need: GpuNeed): Check {
  const names = [...new Set(gpus.map(({ capability }) => `sm_${capability}`))].join(', ');
  for (const { kernels } of gpus) {
    if (!kernels.ok)
      return checkOf('kernels', libraryStatus(kernels, need.isForJob, 'LONGSCAN_CUDA'), kernels);
  }
  return { name: 'kernels', status: 'ok', found: `longscan's CUDA library runs on ${names}` };
}

function checkProducts(fact: Gpu['products'], need: GpuNeed): Check {
  if (!fact.ok) return checkOf('cublas', libraryStatus(fact, need.isForJob, 'LONGSCAN_CUBLAS'), fact);
  const { engine, version, path } = fact.value;
  return { name: 'cublas', status: 'ok', found: `${engine} ${version}, ${path}` };
}

function checkNccl(fact: Fact<'nccl'>, need: GpuNeed): Check {
  if (!fact.ok) return checkOf('nccl', libraryStatus(fact, need.needsNccl, 'LONGSCAN_NCCL'), fact);
  return { name: 'nccl', status: 'ok', found: `${fact.value.version}, ${fact.value.path}` };
}
