#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test that this machine can run.
set -euo pipefail
cd "$(dirname "$0")"

tools/install_packages.sh libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev python3 python3-venv
cmake --preset release
cmake --build --preset release
ctest --preset release -j "$(nproc)"
