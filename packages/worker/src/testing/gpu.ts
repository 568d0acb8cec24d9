/** For tests of this package and of those that stand on it. */
export { testOnGpu } from '@longscan/kernels/testing/gpu';
