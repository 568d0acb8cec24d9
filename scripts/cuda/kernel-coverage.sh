#!/usr/bin/env bash
# Which of a library's kernels a command launches, it and the processes that it starts: prints those that it does not.
# usage: scripts/cuda/kernel-coverage.sh LIBRARY.so COMMAND…     as ./check-kernels of a bundle, with the bundle's library
# LAUNCHED: a folder that keeps the names launched, those of earlier runs too; default: none is kept.
set -euo pipefail
library=$(realpath "$1")
shift
here=$(realpath "$(dirname "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "${LAUNCHED:=$work/launched}"

cuda=$(dirname "$(dirname "$(realpath "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)")")")
paths=()
for folder in "$cuda"/{lib64,lib,extras/CUPTI/lib64}; do paths+=("-L$folder" "-Wl,-rpath,$folder"); done
g++ -std=c++17 -O2 -fPIC -shared -I"$cuda/include" -I"$cuda/extras/CUPTI/include" "$here/launched_kernels.cc" "${paths[@]}" -lcupti \
  -o "$work/launched_kernels.so"
status=0
CUDA_INJECTION64_PATH=$work/launched_kernels.so LAUNCHED_KERNELS=$(realpath "$LAUNCHED") "$@" || status=$?

cuobjdump --dump-resource-usage "$library" | sed -n 's/^ *Function \(.*\):$/\1/p' | sort -u >"$work/all"
find "$LAUNCHED" -type f -exec cat {} + | sort -u >"$work/launched"
comm -23 "$work/all" "$work/launched" | c++filt | sed 's/longscan:://g; s/(anonymous namespace):://g'
echo "$(comm -12 "$work/all" "$work/launched" | wc -l) of $(wc -l <"$work/all") kernels launched; the command ended with status $status"
exit "$status"
