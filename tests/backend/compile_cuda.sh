#!/usr/bin/env bash
# Compiles every kernel for an architecture that is not here to run it: compile_cuda.sh NVCC ARCHITECTURE (80, 100a ...).
# Where the architecture has FP4 units (an "a"), rows must be quantised by them. 77: the compiler does not know it.
set -euo pipefail
nvcc=$1 architecture=$2
grep -qx "compute_${architecture%a}" <<<"$("$nvcc" --list-gpu-arch)" || { echo "$nvcc knows no sm_$architecture"; exit 77; }
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for file in src/cuda/*.cu; do
  "$nvcc" -std=c++20 -O3 --expt-relaxed-constexpr -arch="sm_$architecture" -Isrc -cubin "$file" -o "$out/cubin"
done
if [[ $architecture == *a ]]; then
  "$nvcc" -std=c++20 --expt-relaxed-constexpr -arch="sm_$architecture" -Isrc -ptx src/cuda/rows.cu -o "$out/ptx"
  grep -q 'cvt.rn.satfinite.e2m1x2.f32' "$out/ptx" || { echo "no conversion to E2M1 in the code of rows.cu" >&2; exit 1; }
fi
