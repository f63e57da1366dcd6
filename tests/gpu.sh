#!/bin/bash
# Tests and measures on a machine with a GPU on which nothing can be installed or built.
#
#   gpu.sh [test | bench] BUNDLE [TABLE]
#
#   test     every test that runs on the GPU; then compute-sanitizer's memcheck, racecheck,
#            initcheck and synccheck over those of small size, the four side by side
#   bench    the benchmark, beside PyTorch on the same GPU; adds to a TABLE that is there
#   neither  both
#   BUNDLE   gpu_bundle.tar.xz, or the folder that it was unpacked to, made by
#            cmake --preset cuda && cmake --build build-cuda --target gpu_bundle
#   TABLE    in Markdown; usually $OUT/MEASURED.md.  What the programs said goes to TABLE.log
#
# The machine needs the GPU's driver with nvidia-smi, CUDA's cuBLAS and NCCL, compute-sanitizer,
# python3 with PyTorch for the benchmark, and glibc 2.36 (Debian 12's) or newer.  Where our programs
# do not find CUDA's libraries they get PyTorch's; PyTorch itself keeps its own environment.
# A test program that dies runs again with launches that block (CUDA_LAUNCH_BLOCKING), so that the
# table names what failed at the launch; then its tests run one by one.
# Each of the two ends within $GPU_SECONDS (540); what did not fit is counted as not run, never as
# passed.  A program has $PROGRAM_SECONDS (60), under compute-sanitizer twice as many.
# $SANITIZER_FILTER chooses the small tests, as --gtest_filter does.
# Exit status: 0; 1 where a test, a check or a part of the benchmark failed, or a gate was not
# measured; 2 where it cannot be run.
set -u
gpu_tests='*/Cuda:*Device*.*:*Gpu*.*:Nccl*'
small_tests=${SANITIZER_FILTER:-$gpu_tests-*Long*}
tools='memcheck racecheck initcheck synccheck'
program_seconds=${PROGRAM_SECONDS:-60}

refuse() { echo "gpu.sh: $*" >&2; exit 2; }
# Our programs find CUDA's libraries there; nobody else is led to them.
ours() { env ${libraries:+LD_LIBRARY_PATH="$libraries"} "$@"; }
seconds_left() { echo $((${GPU_SECONDS:-540} - SECONDS)); }
say() { tee -a "$table"; }
note() { echo "$2" >>"$work/$1"; }  # FILE LINE, for a list below the table
of_build() { sed -n "s/^$1 //p" "$bundle/build"; }

# list FILE TITLE: its lines, equal ones once.
list() {
  [ -s "$work/$1" ] || return
  printf '\n%s:\n\n' "$2" | say
  sort "$work/$1" | uniq -c | sed 's/^ *1 /* /; s/^ *\([0-9]*\) \(.*\)/* \2 (\1 times)/' | say
  [ "$1" = skipped ] || status=1
}

# run LOG SECONDS FILTER PROGRAM [UNDER...]: a program's tests, to LOG.xml; 137 when time is up.
run() {
  local log=$1 seconds=$2 filter=$3 program=$4 left=$(($(seconds_left) - 10))
  shift 4
  [ $left -gt 0 ] || return 137
  { ours timeout -s KILL $((seconds < left ? seconds : left)) "$@" "$program" \
    --gtest_filter="$filter" --gtest_output="xml:$log.xml" >"$log" 2>&1 </dev/null; } 2>/dev/null
}

# counts LOG: "passed failed skipped", or nothing where the program did not get to its end.
counts() {
  [ ! -s "$1.xml" ] || awk '
    /<testcase / { ++tests } /result="skipped"/ { ++skipped }
    /^<testsuites / { match($0, /failures="[0-9]+"/); failed = substr($0, RSTART + 10) + 0 }
    END { print tests - failed - skipped, failed + 0, skipped + 0 }' "$1.xml"
}

# A program that a signal ended, once more: its first word of failure, in the list `blocking`.
run_blocking() {
  local program=$1 log=$2.blocking ended word
  [ "$(seconds_left)" -gt 10 ] || return
  CUDA_LAUNCH_BLOCKING=1 run "$log" "$program_seconds" "$gpu_tests" "$program"
  ended=$?
  word=$(grep -m 1 -E '^F[0-9]+ |terminate called|what\(\):|rror' "$log" | cut -c 1-300)
  note blocking "${program##*/} ended with status $ended: ${word:-$(tail -n 1 "$log")}"
  rm -f "$log.xml"  # counted by run_apart
}

# The tests of a program that died or hung, each in a process of its own: the same numbers, and
# how many were not run.
run_apart() {
  local program=$1 i=0 log name ended p f s passed=0 failed=0 skipped=0 not_run=0
  while read -r name; do
    log=$2.$((i += 1))
    run "$log" "$program_seconds" "$name" "$program"
    ended=$?
    if read -r p f s < <(counts "$log"); then
      passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    elif [ "$(seconds_left)" -le 10 ]; then
      not_run=$((not_run + 1))
    else
      failed=$((failed + 1))
      note failed "$name ended with status $ended"
    fi
  done < <(ours "$program" --gtest_list_tests --gtest_filter="$gpu_tests" 2>/dev/null |
    awk '/^[^ ]+\.( |$)/ { suite = $1 } /^  / { print suite $1 }')
  echo $passed $failed $skipped $not_run
}

run_tests() {
  local program name log ended p f s n passed=0 failed=0 skipped=0 not_run=0
  printf '\n| %s | passed | failed | skipped | not run |\n|---|---|---|---|---|\n' \
    "${gpu:-no GPU: emulated or skipped}" | say
  for program in "$bundle"/tests/*; do
    name=${program##*/} log=$work/$name n=0
    run "$log" "$program_seconds" "$gpu_tests" "$program"
    ended=$?
    if ! read -r p f s < <(counts "$log"); then
      [ $ended = 137 ] || run_blocking "$program" "$log"
      read -r p f s n < <(run_apart "$program" "$log")
    fi
    [ $((p + f + s + n)) != 0 ] || note failed "$name shows no test on a GPU"
    [ $ended = 0 ] || [ $((f + n)) != 0 ] || note failed "$name ended with status $ended"
    echo "| $name | $p | $f | $s | $n |" | say
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s)) not_run=$((not_run + n))
  done
  echo "| all | $passed | $failed | $skipped | $not_run |" | say
  [ -z "$gpu" ] || [ $passed != 0 ] || note failed "no test passed though there is a GPU"
  sed -n '/<testcase /h; /<failure /{ g; s/.* name="\([^"]*\).* classname="\([^"]*\).*/\2.\1/p }' \
    "$work"/*.xml | sort -u >>"$work/failed"
  sed -n 's/.*<skipped message="\([^"]*&#x0A;\)*\([^"&]*\).*/\2/p' "$work"/*.xml >"$work/skipped"
  list skipped Skipped
  list failed Failed
  list blocking "Died, and again with launches that block"
}

# sanitize TOOL: its row, in $work/TOOL.row.  A program all of whose tests are skipped was not run.
sanitize() {
  local tool=$1 program name log ended p f s tests=0 clean=0 errors=0 not_run=0
  for program in "$bundle"/tests/*; do
    name=${program##*/} log=$work/$tool.$name
    run "$log" $((2 * program_seconds)) "$small_tests" "$program" \
      "$sanitizer" --tool "$tool" --require-cuda-init no --error-exitcode 86
    ended=$?
    read -r p f s < <(counts "$log") || p=0
    tests=$((tests + p))
    if [ $ended = 137 ]; then
      not_run=$((not_run + 1))
    elif [ $ended != 0 ] || ! grep -q 'SUMMARY: 0 \(errors\|hazards\)' "$log"; then
      errors=$((errors + 1))
      note errors "$tool, $name: status $ended, $(grep -o '[A-Z]* SUMMARY: .*' "$log" | xargs)"
    else
      clean=$((clean + (p > 0))) not_run=$((not_run + (p == 0)))
    fi
  done
  echo "| $tool | $clean | $errors | $not_run | $tests |" >"$work/$tool.row"
}

run_sanitizers() {
  local tool why=
  sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer) ||
    why="compute-sanitizer is not found"
  [ -n "$gpu" ] || why="no GPU"
  printf '\n| programs under %s | clean | with errors | not run | tests run |\n%s\n' \
    compute-sanitizer '|---|---|---|---|---|' | say
  for tool in $tools; do
    if [ -n "$why" ]; then echo "| $tool | not run: $why | | | |" | say; else sanitize "$tool" & fi
  done
  wait
  [ -z "$why" ] || return
  for tool in $tools; do say <"$work/$tool.row"; done
  list errors Errors
}

run_bench() {
  [ -n "$gpu" ] || refuse "no GPU: nvidia-smi shows none, and the benchmark needs one"
  printf '#!/bin/sh\nexec env %s "%s" "$@"\n' "${libraries:+LD_LIBRARY_PATH='$libraries'}" \
    "$bundle/bin/treeformer" >"$work/treeformer"
  chmod +x "$work/treeformer"
  { echo && TREEFORMER=$work/treeformer timeout -s KILL "$(seconds_left)" \
    python3 "$bundle/peers/gpu.py" --output="$work/bench" \
    --minutes=$((($(seconds_left) - 30) / 60)); } 2>>"$table.log" </dev/null | say
  local ended=${PIPESTATUS[0]}
  [ "$ended" = 0 ] || note failures "gpu.py ended with status $ended: $(tail -n 1 "$table.log")"
  list failures "The benchmark failed"
}

not_found() { ours ldd "$bundle"/{bin/treeformer,tests/*} | awk '/not found/ && !n[$1]++ { print $1 }'; }

check_machine() {
  local need have path
  libraries=
  need=$(of_build glibc) have=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/.* //')
  printf '%s\n' "$need" "${have:-0}" | sort -V -C ||
    refuse "this machine has glibc ${have:-of no version}; the bundle needs $need or newer"
  if [ -n "$(not_found)" ]; then  # CUDA's libraries, which also come with PyTorch
    path=$(python3 -c 'import glob, sys
print(":".join(path for root in sys.path for path in glob.glob(root + "/nvidia/*/lib")))')
    libraries=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64:$path
  fi
  [ -z "$(not_found)" ] || refuse "LD_LIBRARY_PATH must lead to: $(not_found | xargs)"
}

begin_table() {
  : >"$table" || refuse "$table cannot be written"
  rm -f "$table.log"
  printf '# Measured on a GPU\n\n| | |\n|---|---|\n' | say
  printf '| %s | %s |\n' "GPU, driver" "${gpu:-none}" date "$(date -u +%Y-%m-%d)" \
    commit "$(of_build commit), built on $(of_build date)" CUDA "$(of_build cuda)" | say
}

keep_logs() {
  [ ! -s "$table" ] || find "$work" \( -path "$work/*_test*" -o -path "$work/bench/*" \) \
    ! -path "$work/gpu_bundle/*" ! -name '*.xml' | sort | xargs -r tail -v -n +1 >>"$table.log"
}

[ "${1:-}" != --help ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit; }
parts='test bench' status=0
case ${1:-} in test | bench) parts=$1 && shift ;; esac
[ $# = 1 ] || [ $# = 2 ] || refuse "usage: gpu.sh [test | bench] BUNDLE [TABLE]; more by --help"
bundle=$1 table=${2:-${OUT:-.}/MEASURED.md}
work=$(mktemp -d)
trap 'keep_logs; rm -rf "$work"' EXIT
if [ -f "$bundle" ]; then
  tar xJf "$bundle" -C "$work" 2>/dev/null || python3 -m tarfile -e "$bundle" "$work" ||
    refuse "$bundle is not a bundle"
  bundle=$work/gpu_bundle
fi
[ -f "$bundle/build" ] || refuse "$1 is not a bundle: it has no file 'build'"
bundle=$(cd "$bundle" && pwd)
check_machine
gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null) || gpu=
gpu=$(sort -u <<<"$gpu" | paste -sd '; ')
[ -z "$gpu" ] || [ "$(of_build cuda | cut -c 1-4)" != none ] || refuse "$1 is built without CUDA"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OPAL_PREFIX=$bundle
export OMPI_MCA_ess_singleton_isolated=1  # one process needs no network to be one
if [ "$parts" != bench ] || [ ! -s "$table" ]; then begin_table; fi
for part in $parts; do
  SECONDS=0
  if [ "$part" = test ]; then run_tests; run_sanitizers; else run_bench; fi
done
exit $status
