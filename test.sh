#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test that this machine can run; says what it skipped and why.
# The test of the training needs PyTorch (3 GB, from PyPI, into .venv/): FOURSTEP_SKIP_TRAINING=1 does without.
# FOURSTEP_SHARED_DIR=FOLDER adds the tests that want data too large for the repository.
set -euo pipefail
cd "$(dirname "$0")"

skipped=()
tools/install_packages.sh libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev bubblewrap gnuplot-nox python3 python3-venv

python=""
if [ -n "${FOURSTEP_SKIP_TRAINING:-}" ]; then
  skipped+=("training_test: FOURSTEP_SKIP_TRAINING is set")
elif { [ -x .venv/bin/python ] || python3 -m venv .venv; } &&
     .venv/bin/python -m pip install -q --disable-pip-version-check -r training/requirements.txt; then
  python=$PWD/.venv/bin/python
else
  skipped+=("training_test: PyTorch could not be installed")
fi
[ -n "${FOURSTEP_SHARED_DIR:-}" ] || skipped+=("tests over large data: FOURSTEP_SHARED_DIR is not set")

# One GPU architecture in the program; that kernels compile for others is a test of its own.
cmake --preset release -DFOURSTEP_CUDA_ARCHITECTURES=90 -DFOURSTEP_TRAINING_PYTHON="$python" -DFOURSTEP_SHARED_DIR="${FOURSTEP_SHARED_DIR:-}"
cmake --build --preset release
status=0
ctest --preset release -j "$(nproc)" || status=$?
for line in "${skipped[@]}"; do echo "skipped $line"; done
exit "$status"
