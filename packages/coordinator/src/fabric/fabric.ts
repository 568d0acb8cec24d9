import type { FabricCost } from '@longscan/worker';

/** The links between ranks, by the name that plans call them. */
export interface Fabric extends FabricCost {
  readonly name: string;
}

/**
 * The built-in TCP engine between processes of one host, medians of docs/benchmarks/cpu-collectives_2-core-epyc_2026-11.md
 * with two ranks: half of an 8-byte ping-pong, an 8-byte all-gather (one message each way per call, back to back) and half
 * of a 64 MiB ping-pong.
 */
export const loopbackTcp: Fabric = {
  name: 'tcp over loopback',
  latencyS: 10.3e-6,
  gapS: 10.6e-6,
  bandwidthBytesPerS: 2.9e9,
};
