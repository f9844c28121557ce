#!/usr/bin/env bash
# The whole road: tokenizer, supervised training, reinforcement (on all GPUs here), study, export.  Each phase resumes
# where it stopped.  Usage: training/run_gpu.sh STATE [SUPERVISED_MINUTES REINFORCE_MINUTES PROBLEMS]
set -euo pipefail
cd "$(dirname "$0")/.."
state=$1
export PYTHONUNBUFFERED=1 PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True TOKENIZERS_PARALLELISM=true
python=${PYTHON:-python3}
mkdir -p "$state"

[ -e "$state/supervised.done" ] || "$python" -m training.supervised "$state" --minutes "${2:-6}"
touch "$state/supervised.done"
[ -e "$state/reinforce.done" ] || "$python" -m torch.distributed.run --standalone --nproc-per-node gpu \
  -m training.reinforce "$state" --minutes "${3:-12}"
touch "$state/reinforce.done"
"$python" -m training.study "$state" --set study.problems="${4:-3072}"
