"""The endpoint on RunPod: what is declared in `gpu_worker/runpod.toml`, beside what RunPod reports."""
