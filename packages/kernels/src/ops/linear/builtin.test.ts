// The same tests with our own f32 matrix product. Set before the addon opens; one test file is one process.
process.env.LONGSCAN_GEMM = 'builtin';
await import('./linear.test.js');

export {};
