#!/usr/bin/env bash
# Starts the GPU worker, on RunPod serverless or on any other GPU host. It verifies the models and never
# downloads them: a container that is restarted in a loop would download for ever. Where they are missing it
# ends with 78 and says which command prepares them.
#
# A cold start within a minute needs a volume that gives about 0.5 GB a second: 33 GB are read.
set -euo pipefail
# Windows of many sizes follow each other; segments that grow leave no gaps between their tensors.
export PYTORCH_CUDA_ALLOC_CONF="${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A worker loads models and kernels from the volume and asks no hub for either.
export HF_HUB_OFFLINE=1

"${PYTHON:-python}" -m gpu_worker.model_store verify
if [[ -n ${RUNPOD_WEBHOOK_GET_JOB:-} ]]; then
    exec "${PYTHON:-python}" -m gpu_worker.serverless "$@"
fi
exec "${PYTHON:-python}" -m gpu_worker.worker --queue render-gpu "$@"
