import type { Device } from '@longscan/kernels';
import type { JobSpec } from '../protocol/job-spec.js';

type Precision = JobSpec['model']['precision'];

/** FLOP/s of dense products, by the data sheets: bf16 on tensor cores, f32 on the others (TF32 is not used). */
const peaks: readonly { readonly names: RegExp; readonly flops: Readonly<Record<Precision, number>> }[] = [
  { names: /\b(GH200|H200|H100 80GB HBM3)\b/, flops: { bf16: 989e12, f32: 67e12 } },
  { names: /\bA100\b/, flops: { bf16: 312e12, f32: 19.5e12 } },
];

/** What MFU is a fraction of, for one rank's device; null: not known. */
export function peakFlopsOf(device: Device, precision: Precision): number | null {
  if (device.kind !== 'cuda') return null;
  return peakFlopsOfGpu(device.gpu().name, precision);
}

/** The same by the name that the driver gives a GPU. */
export function peakFlopsOfGpu(name: string, precision: Precision): number | null {
  return peaks.find(({ names }) => names.test(name))?.flops[precision] ?? null;
}
