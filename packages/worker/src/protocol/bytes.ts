/** States and gradients travel as f32, whatever a model computes in. */
export const bytesPerF32 = 4;
