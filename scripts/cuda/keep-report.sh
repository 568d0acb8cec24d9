#!/usr/bin/env bash
# Runs nvcc and keeps what it says beside the object, as OBJECT.ptxas. Shows it without the reports on each kernel, which
# only scripts/kernel-resources.ts reads.
# usage: keep-report.sh NVCC … -o OBJECT …
set -euo pipefail
object=
for ((i = 1; i < $#; i++)); do
  if [[ ${!i} == -o ]]; then
    next=$((i + 1))
    object=${!next}
  fi
done
status=0
"$@" 2>"$object.ptxas" || status=$?
grep -vE '^ptxas info|^    [0-9]+ bytes stack frame' "$object.ptxas" >&2 || true
exit $status
