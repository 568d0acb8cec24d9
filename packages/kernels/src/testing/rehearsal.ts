/**
 * Whether tests with a GPU are rehearsed: the code that launches kernels runs as it is, over a driver and a runtime without a
 * GPU (cuda/testing/fake_*.cc), which hold each launch against what a chip allows. Nothing is computed, so no numbers are
 * compared. `scripts/rehearse-kernels.ts` sets it; `npm test` takes it back.
 */
export const isRehearsal = process.env.LONGSCAN_REHEARSAL === '1';
