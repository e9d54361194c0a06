"""What the control side and the render worker have to agree on, the same in every process of a release.

Specs, presets, windows, costs, queues, storage keys and what is coordinated through Redis belong here;
helpers that merely both sides use are in `gpu_worker.common`, and nothing here reads a database or renders.
"""
