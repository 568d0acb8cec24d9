/** What a link between two neighbouring ranks costs. Latency and gap are kept apart: a pipeline pays the first once. */
export interface Fabric {
  readonly name: string;
  /** From the start of a small send to its arrival. */
  readonly latencyS: number;
  /** Between the starts of two small sends of one rank. */
  readonly gapS: number;
  readonly bandwidthBytesPerS: number;
}

/**
 * The built-in TCP engine between processes of one host, measured over loopback on two cores: half of a 54 us round
 * trip, and 64 MiB sent and received at once in 44 ms. The gap is the system call of a small send.
 */
export const loopbackTcp: Fabric = {
  name: 'tcp over loopback',
  latencyS: 27e-6,
  gapS: 8e-6,
  bandwidthBytesPerS: 1.5e9,
};
