/** A chip that launches are rehearsed for: the fake driver and the fake runtime know its limits by the capability. */
export interface Chip {
  readonly name: string;
  readonly capability: number;
}

/** One of each kind of limits that our kernels meet: shared memory of 163, 99 and 227 KB a block; code of sm_80 and sm_90a. */
const chips: readonly Chip[] = [
  { name: 'A100', capability: 80 },
  { name: 'L40S', capability: 89 },
  { name: 'H200', capability: 90 },
];

/** By name; all without names. @throws Error for a name that is none of theirs. */
export function chipsNamed(names: readonly string[]): readonly Chip[] {
  if (names.length === 0) return chips;
  return names.map((name) => {
    const chip = chips.find((one) => one.name === name);
    if (chip !== undefined) return chip;
    throw new Error(`--chip ${name}: expected ${chips.map((one) => one.name).join(', ')}`);
  });
}

/** What a rehearsed process is told. */
export function rehearsalEnv(
  chip: Chip,
  build: string,
  table: string,
  launches: string,
): Record<string, string> {
  return {
    LONGSCAN_REHEARSAL: '1',
    LONGSCAN_REQUIRE_GPU: '1',
    LONGSCAN_CUDA_DRIVER: `${build}/fake_cuda_driver.so`,
    LONGSCAN_CUBLAS: `${build}/fake_cuda_cublaslt.so`,
    LONGSCAN_NCCL: `${build}/fake_nccl.so`,
    LONGSCAN_CUDA: `${build}/longscan_cuda_rehearsal.so`,
    LONGSCAN_FAKE_CUDA: `capability=${chip.capability} bytes=64000000000 lagUs=0`,
    LONGSCAN_FAKE_KERNELS: table,
    LONGSCAN_FAKE_LAUNCHES: launches,
  };
}
