import type { Device } from '@longscan/kernels';

/** What a row of measurements says of where it was taken. */
export function machineOf(device: Device, threads: number): Readonly<Record<string, unknown>> {
  if (device.kind === 'cuda') return { device: 'cuda', ...device.gpu() };
  return { device: 'cpu', level: device.native.cpuInfo().name, threads };
}
