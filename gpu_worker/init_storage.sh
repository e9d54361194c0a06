#!/usr/bin/env bash
# Prepares the models on the volume: once, in a temporary pod that has it mounted. Stopped anywhere, it goes on
# where it was when it is run again.
#
#   gpu_worker/init_storage.sh --plan       what would be downloaded, and the room it takes
#   gpu_worker/init_storage.sh              do it
#   ... --models standard|turbo|all  --precision fp8|bf16  --speakers single,multi  --lora lightx2v
#
# After the models come the attention kernels, pinned in kernels/kernels.lock.json on the volume. Review that
# file after the first run; `python -m gpu_worker.model_store kernels --lock FILE` keeps other volumes to it.
#
# MODEL_STORAGE_PATH (default /runpod-volume/models), HF_TOKEN and HF_ENDPOINT are read from the environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command=(convert --kernels)
if [[ ${1:-} == --plan ]]; then
    command=(plan)
    shift
fi
exec "${PYTHON:-python}" -m gpu_worker.model_store "${command[@]}" "$@"
