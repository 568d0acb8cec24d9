#!/usr/bin/env bash
# Compiles CUDA kernels into one shared library with a plain C interface.
# usage: scripts/cuda/build.sh LIBRARY.so [ARCHITECTURE] [OP]   (default: 90a, 80 for Ampere; every op)
# With LONGSCAN_RACECHECK=1, so that compute-sanitizer's racecheck can follow them (cuda/warp_arrival.cuh) and names lines.
set -euo pipefail
library=$(realpath -m "$1")
architecture=${2:-90a}
op=${3:-*}
cd "$(dirname "$0")/../.."
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT

compile() {
  "$nvcc" -std=c++17 -O3 -gencode="arch=compute_$1,code=sm_$1" -Xcompiler -fPIC ${LONGSCAN_RACECHECK:+-DLONGSCAN_RACECHECK -lineinfo} -Ipackages/kernels/src -c "$2" \
    -o "$3/$(echo "$2" | tr / _).o"
}
export -f compile
export nvcc
find packages/kernels/src \( -path 'packages/kernels/src/cuda/*' -o -path 'packages/kernels/src/comm/*' -o -path "packages/kernels/src/ops/$op/*" \) -name '*.cu' -print0 |
  xargs -0 -P "$(nproc)" -I SOURCE bash -c 'compile "$@"' _ "$architecture" SOURCE "$objects"
"$nvcc" -shared -gencode="arch=compute_$architecture,code=sm_$architecture" "$objects"/*.o -o "$library"
