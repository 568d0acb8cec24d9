import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findNeedless, findSpills } from './check-spills.js';
import { parsePtxasReport, shortName } from './ptxas-report.js';

// As nvcc 13.0 writes it, -Xptxas -v, for two architectures.
const [sweep, forward] = [
  '_ZN8longscan46_GLOBAL__N__571bd9c9_13_cuda_sweep_cu_a039815314backwardKernelILi4ELb0EEEvNS_14DeltaSweepCallE',
  '_ZN8longscan46_GLOBAL__N__571bd9c9_13_cuda_sweep_cu_a039815313forwardKernelILi2ELb0EEEvNS_14DeltaSweepCallE',
];
const report = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '${sweep}' for 'sm_80'
ptxas info    : Function properties for ${sweep}
    48 bytes stack frame, 48 bytes spill stores, 52 bytes spill loads
ptxas info    : Used 255 registers, used 3 barriers, 48 bytes cumulative stack size, 568 bytes cmem[0]
ptxas info    : Compile time = 1529.120 ms
ptxas info    : (C7517) warpgroup.wait is injected in around line 15386 by compiler to allow use of registers defined by GMMA in function '${forward}'
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to insufficient register resources for the wgmma pipeline in the function '${forward}'
ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable to determine register count at entry.
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '${forward}' for 'sm_90a'
ptxas info    : Function properties for ${forward}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Function properties for __internal_trig_reduction_slowpathd
    40 bytes stack frame, 40 bytes spill stores, 40 bytes spill loads
ptxas info    : Used 188 registers, used 3 barriers, 2192 bytes smem
ptxas info    : Compile time = 365.594 ms
`;

test('ptxas report ~> registers, stack and spills of each kernel, not of the functions it calls', () => {
  assert.equal(parsePtxasReport(report).kernels, [
    { symbol: sweep, architecture: 'sm_80', registers: 255, sharedBytes: 0, stackBytes: 48, spillBytes: 52 },
    {
      symbol: forward,
      architecture: 'sm_90a',
      registers: 188,
      sharedBytes: 2192,
      stackBytes: 0,
      spillBytes: 0,
    },
  ]);
});

test('ptxas report ~> losses that the compiler tells of, and no other remarks', () => {
  const { remarks } = parsePtxasReport(report);
  assert.equal(
    remarks.map(({ symbol, code }) => [symbol, code]),
    [
      [forward, 'C7510'],
      [null, 'C7508'],
    ],
  );
  assert.match(remarks[0]!.text, /\(C7510\).*insufficient register resources/);
  assert.match(remarks[1]!.text, /'setmaxnreg' ignored/);
});

test('ptxas report ~> names without namespaces and parameters', () => {
  const demangled =
    'void longscan::(anonymous namespace)::backwardKernel<4, false>(longscan::DeltaSweepCall)';
  assert.is(shortName(demangled), 'backwardKernel<4, false>');
  assert.is(shortName('_ZN3add'), '_ZN3add');
});

test('spills ~> over the limit, without need, of a kernel that is gone; losses', () => {
  const { kernels, remarks } = parsePtxasReport(report);
  const named = kernels.map((kernel) => ({
    ...kernel,
    name: kernel.symbol === sweep ? 'sweep<4, false>' : 'forward',
  }));
  const file = { file: 'cuda.cu', kernels: named, remarks: [] };
  const entry = { file: 'cuda.cu', kernel: 'sweep', architecture: 'sm_80', bytes: 52, reason: 'seldom runs' };
  assert.equal(findSpills([file], [entry]), []);
  assert.equal(findSpills([file], []), ['cuda.cu: sweep<4, false> on sm_80 spills 52 bytes, allowed are 0']);
  assert.equal(findSpills([file], [{ ...entry, bytes: 50 }]), [
    'cuda.cu: sweep<4, false> on sm_80 spills 52 bytes, allowed are 50',
  ]);
  const elsewhere = { ...entry, architecture: 'sm_90a' };
  assert.equal(findSpills([file], [elsewhere]), [
    'cuda.cu: sweep<4, false> on sm_80 spills 52 bytes, allowed are 0',
  ]);
  const everywhere = { file: 'cuda.cu', kernel: 'sweep<4, false>', bytes: 52, reason: 'seldom runs' };
  assert.equal(findSpills([file], [everywhere]), []);
  assert.equal(findNeedless([file], [entry, everywhere, elsewhere, { ...entry, file: 'not-built.cu' }]), [
    'cuda.cu: sweep (sm_90a) need not be on the list',
  ]);
  const slow = { ...everywhere, kernel: 'forward', bytes: 0, losses: ['C7510'] };
  assert.equal(findSpills([{ ...file, remarks: remarks.slice(0, 1) }], [entry, slow]), []);
  assert.match(
    findSpills([{ ...file, remarks }], [entry]).join('\n'),
    /forward: \(C7510\)[\s\S]*a kernel: \(C7508\)/,
  );
});

test.run();
