/** What a rank is doing, as its native code writes it into the progress words. The order is part of the protocol. */
export const phases = [
  'starting',
  'data',
  'forward',
  'backward',
  'reduce',
  'optimizer',
  'validation',
  'checkpoint',
  'finished',
] as const;
export type Phase = (typeof phases)[number];
