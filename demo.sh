#!/usr/bin/env bash
# The shipped model reasons on fresh problems in BF16, in NVFP4 and in NVFP4 with ReSET; then all three answer the
# same further problems, and a table compares them.
#
#   ./demo.sh [SEED] [PROBLEMS]    SEED picks the problems (1), PROBLEMS is their number a task in the table (20)
set -euo pipefail
cd "$(dirname "$0")"
seed=${1:-1}
problems=${2:-20}

build=build/demo
fourstep=$build/fourstep
model=models/abacus
nvfp4=$build/abacus-nvfp4
answers=$build/answers
tasks=(countdown dag ledger equation)
arms=(BF16 NVFP4 NVFP4+ReSET)

heading() {
  if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf '\n\033[1m%s\033[0m\n\n' "$*"; else printf '\n%s\n\n' "$*"; fi
}

build() {
  heading "Building"
  mkdir -p "$build"
  tools/install_packages.sh
  local log=$build/build.log
  if ! { cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFOURSTEP_DEVELOPER=OFF -DFOURSTEP_CUDA=OFF &&
    cmake --build "$build" --target fourstep; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    exit 1
  fi
  echo "$fourstep"
}

quantise() {
  heading "Quantising $model to NVFP4"
  rm -rf "$nvfp4"
  "$fourstep" quantize "$model" "$nvfp4"
}

# answer ARM FLAGS...: every arm draws with the same random numbers.
answer() {
  local arm=$1
  shift
  case $arm in
    BF16) "$fourstep" run "$model" --numerics bf16 --temperature 0.6 --top-p 0.95 "$@" ;;
    NVFP4) "$fourstep" run "$nvfp4" --temperature 0.6 --top-p 0.95 "$@" ;;
    NVFP4+ReSET) "$fourstep" run "$nvfp4" --policy reset --top-p 0.95 "$@" ;;
  esac
}

# ReSET's threshold: a percentile of the quantised model's entropies on a few calibration problems, which are never
# those of an evaluation.
calibrate() {
  heading "Measuring the entropies of the NVFP4 model"
  local task
  for task in "${tasks[@]}"; do "$fourstep" tasks generate "$task" --n 4 --split calibration --seed "$seed"; done |
    "$fourstep" calibrate "$nvfp4" --problems - --max-tokens 1024
}

reason() {
  rm -rf "$answers"
  mkdir -p "$answers"
  local task arm
  for task in countdown equation; do
    "$fourstep" tasks generate "$task" --n 1 --seed "$seed" >"$answers/problem.jsonl"
    for arm in "${arms[@]}"; do
      heading "$arm, $task"
      answer "$arm" --seed "$seed" --show steps --stats --batch "$answers/problem.jsonl" 2>&1 >"$answers/answer.jsonl"
      case $("$fourstep" tasks grade "$task" <"$answers/answer.jsonl") in
        *'"correct":true'*) echo "The answer is right." ;;
        *'"correct":false'*) echo "The answer is wrong." ;;
        *) echo "There is no answer." ;;
      esac
    done
  done
}

# answer_and_grade ARM TASK: the three arms run at the same time, so each takes one thread.
answer_and_grade() {
  local file=$answers/$2.$1
  if ! { answer "$1" --seed "$seed" --threads 1 --batch "$answers/$2.problems" >"$file" &&
    "$fourstep" tasks grade "$2" <"$file" >"$file.verdicts"; } 2>"$file.log"; then
    cat "$file.log" >&2
    return 1
  fi
}

compare() {
  heading "$problems further problems a task, the same for all three, one answer each"
  local task arm pid pids files=()
  for task in "${tasks[@]}"; do
    echo "$task ..."
    "$fourstep" tasks generate "$task" --n "$problems" --seed "$((seed + 1))" >"$answers/$task.problems"
    pids=()
    for arm in "${arms[@]}"; do
      answer_and_grade "$arm" "$task" &
      pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
  done
  for arm in "${arms[@]}"; do
    cat "$answers"/*."$arm".verdicts >"$answers/$arm.jsonl"
    files+=("$arm=$answers/$arm.jsonl")
  done
  echo
  "$fourstep" tasks compare "${files[@]}"
}

build
quantise
calibrate
reason
compare
