import type { ChainLinkCost, LinkCost } from '@longscan/worker';
import type { Machine } from './machine.js';

/** Links that longscan knows without a file. */
export interface FabricPreset {
  readonly name: string;
  readonly link: LinkCost;
  readonly nodes?: { readonly ranksPerNode: number; readonly between: LinkCost };
  /** Between GPUs of one host; what `measuredOn` is null for is assumed of these too. */
  readonly chains?: ChainLinkCost;
  /** Null: assumed from data sheets and others' measurements, not measured by us. */
  readonly measuredOn: Machine | null;
}

/**
 * NVLink 4 between the 8 GPUs of an HGX or DGX host with H100 or H200 (both have the same links), by NCCL. ASSUMED:
 * - bandwidth: 18 links of 25 GB/s each way are 450 GB/s (NVIDIA's data sheets); NCCL's protocol leaves 370 GB/s of it, says
 *   a maintainer of NCCL in github.com/NVIDIA/nccl-tests/issues/212;
 * - latency: 10 µs for a small message, in the range that nccl-tests shows for send/recv inside such a host;
 * - gap: 5 µs, since every exchange is a kernel on the communicator's stream, and kernels follow each other no faster than
 *   they are launched and have shaken hands.
 */
const nvlink4: LinkCost = { latencyS: 10e-6, gapS: 5e-6, bandwidthBytesPerS: 370e9 };

/**
 * One 400 Gb/s adapter (InfiniBand NDR, or Ethernet with RDMA) a GPU, by NCCL. ASSUMED:
 * - bandwidth: 400 Gb/s are 50 GB/s; 48 GB/s of it reach a message: 24 GB/s of a 200 Gb/s adapter count as its peak in
 *   github.com/NVIDIA/nccl-tests/issues/119, says a maintainer of NCCL;
 * - latency: 15 µs: that of a host, and 5 µs for NCCL's proxy, two adapters and the switches between them;
 * - gap: as inside a host.
 */
const net400: LinkCost = { latencyS: 15e-6, gapS: 5e-6, bandwidthBytesPerS: 48e9 };

/**
 * Chains through mapped memory between two H200 of a virtual machine, as `bench collectives` fitted two runs of it in
 * docs/benchmarks/gpu-chains_h200_2026-11.md: 22.1 µs beside the bytes, 207 GB/s. Of two ranks the hop hides behind the launch, and the
 * fit has none. It took 4.2 µs with each further rank where ranks were streams of one GPU, a table of the same page: so much of the
 * 22.1 µs is taken for it. There, too, M
 * of 16 heads of 128 x 128 cost a rank 82 µs at worst, beside others on its GPU: what it takes alone was not measured.
 */
const chainsOfVm: ChainLinkCost = {
  ...{ launchS: 17.9e-6, latencyS: 4.2e-6, bandwidthBytesPerS: 207e9 },
  denseFlopsPerS: 0.8e12,
};

/**
 * The same between GPUs of a host that is no virtual machine. ASSUMED: hop, bandwidth and dense M as measured there; a launch of 3 µs,
 * what every op takes under the compute preset `h200`.
 */
const chainsOfHopper: ChainLinkCost = { ...chainsOfVm, launchS: 3e-6 };

const hopperNodes = { ranksPerNode: 8, between: net400 };

/** By the name that jobs and `--fabric` call them. */
export const presets = {
  /**
   * The built-in TCP engine between processes of one host, medians of docs/benchmarks/cpu-collectives_2-core-epyc_2026-11.md
   * (beside Open MPI) with two ranks: half of an 8-byte ping-pong, an 8-byte all-gather (one message each way per call, back to back) and half
   * of a 64 MiB ping-pong.
   */
  'loopback-tcp': {
    name: 'tcp over loopback',
    link: { latencyS: 10.3e-6, gapS: 10.6e-6, bandwidthBytesPerS: 2.9e9 },
    measuredOn: { host: null, cpu: 'AMD EPYC', cores: 2 },
  },
  /**
   * NCCL 2.28.3 over NVLink between two H200 of a virtual machine, as `bench collectives --save` fitted it in
   * docs/benchmarks/gpu-two-gpus_h200_2026-11.md. Each message costs a launch, which takes 80 µs there; more than two GPUs were
   * not measured, and are taken to be alike.
   */
  'h200-vm': {
    name: 'two H200 of a virtual machine, NVLink (measured)',
    link: { latencyS: 80.1e-6, gapS: 82.7e-6, bandwidthBytesPerS: 221e9 },
    chains: chainsOfVm,
    measuredOn: { host: null, cpu: 'Intel Xeon, virtual', cores: 32 },
  },
  h100: {
    name: 'hosts of 8 H100, 400 Gb/s a GPU between them (assumed)',
    link: nvlink4,
    chains: chainsOfHopper,
    nodes: hopperNodes,
    measuredOn: null,
  },
  h200: {
    name: 'hosts of 8 H200, 400 Gb/s a GPU between them (assumed)',
    link: nvlink4,
    chains: chainsOfHopper,
    nodes: hopperNodes,
    measuredOn: null,
  },
} as const satisfies Record<string, FabricPreset>;

export type PresetName = keyof typeof presets;

export const presetNames = Object.keys(presets) as readonly PresetName[];

export function isPreset(name: string): name is PresetName {
  return Object.hasOwn(presets, name);
}
