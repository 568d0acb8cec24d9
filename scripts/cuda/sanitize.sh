#!/usr/bin/env bash
# Runs kernels under compute-sanitizer: memcheck (bad accesses) and racecheck (races in shared memory).
# usage: scripts/cuda/sanitize.sh LIBRARY.so [LOGS [CHECK…]]     CHECK: gated_linear for the calls of check_gated_linear.py, or
# only parts of it, gated_linear:diagonal,bfloat16; or a compiled test, …/rotary.cuda.test.js, run by NODE (default node). Default: all
# of the former. Racecheck wants a library of LONGSCAN_RACECHECK=1 scripts/cuda/build.sh.
# SECONDS_EACH (default 120) is the time limit of one run, TOOLS (default "memcheck racecheck") what is run, PARALLEL
# (default 2) how many at once. Prints a table; LOGS keeps what was found. Status 1 if anything was found, or a run broke off.
set -euo pipefail
library=$(realpath "$1")
logs=$(realpath -m "${2:-sanitize-logs}")
shift $(($# < 2 ? $# : 2))
for check in "$@"; do
  if [[ $check == *.js ]]; then check=$(realpath "$check"); fi
  set -- "${@:2}" "$check"
done
if [[ ${NODE:-} == */* ]]; then NODE=$(realpath "$NODE"); export NODE; fi
cd "$(dirname "$0")"
mkdir -p "$logs"
rm -f "$logs"/*.row "$logs"/*.group
export library logs
export SECONDS_EACH=${SECONDS_EACH:-120}
# Each tensor is an allocation of its own, so that an access beside it is found.
export PYTORCH_NO_CUDA_MEMORY_CACHING=1 LONGSCAN_EXACT_MEMORY=1
export LONGSCAN_CUDA=$library LONGSCAN_POISON=1 LONGSCAN_REQUIRE_GPU=1
if [[ $# -eq 0 ]]; then set -- $(ls check_*.py | sed 's/^check_//; s/\.py$//'); fi

# run_one TOOL CHECK: writes LOGS/NAME.TOOL.log, and the row of the table to LOGS/NAME.TOOL.row.
run_one() {
  local name start=$SECONDS status=0 parts=() result
  name=$(basename "$2" .cuda.test.js)
  local log=$logs/$name.$1.log
  if [[ $2 == *.js ]]; then
    set -- "$1" "${NODE:-node}" "$2"
  else
    if [[ $2 == *:* ]]; then IFS=, read -ra parts <<<"${2#*:}"; fi
    set -- "$1" python3 "check_${2%%:*}.py" "$library" --calls-only "${parts[@]}"
  fi
  # Only our kernels: what PyTorch and cuBLAS launch is not watched.
  timeout -k 5 "$SECONDS_EACH" compute-sanitizer --tool "$1" --kernel-name kns=longscan --print-limit 20 "${@:2}" >"$log" 2>&1 &
  echo $! >"$logs/$name.$1.group"
  wait $! || status=$?
  rm "$logs/$name.$1.group"
  local summary
  summary=$(grep -oE '(ERROR|RACECHECK) SUMMARY: .*' "$log" | tail -n 1 || true)
  if [[ $status -eq 124 || $status -eq 137 ]]; then
    result="not done after $SECONDS_EACH s, found so far: $(grep -cE '^=+ (Invalid|Error|Warning|Program)' "$log" || true)"
  elif [[ -z $summary ]]; then
    result="broke off: $(grep -vE '^=+ *$' "$log" | tail -n 1 | cut -c 1-120)"
  elif [[ $status -ne 0 && $summary == *" 0 "* ]]; then
    result="the check itself ended with status $status"
  else
    result=${summary#*SUMMARY: }
  fi
  printf '| %s | %s | %s | %d s |\n' "$name" "$1" "$result" $((SECONDS - start)) >"$logs/$name.$1.row"
}
export -f run_one

# `timeout` has a process group of its own for what it runs, which a signal to this script does not reach.
stop_runs() {
  local group
  for group in "$logs"/*.group; do
    if [[ -e $group ]]; then kill -- "-$(cat "$group")" 2>/dev/null || true; fi
  done
}
trap stop_runs EXIT
trap 'exit 143' INT TERM

for tool in ${TOOLS:-memcheck racecheck}; do
  for check in "$@"; do printf '%s\0%s\0' "$tool" "$check"; done
done | xargs -0 -P "${PARALLEL:-2}" -n 2 bash -c 'run_one "$@"' _

echo '| op | tool | found | took |'
echo '| --- | --- | --- | --- |'
cat "$logs"/*.row
if grep -qvE '\| (0 errors|0 hazards displayed \(0 errors, 0 warnings\)) ?\|' "$logs"/*.row; then exit 1; fi
