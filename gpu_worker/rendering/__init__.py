"""One attempt at one job, from fetching its inputs to its last report.

What lives as long as the process belongs to `gpu_worker.runtime`; how frames are made, to
`gpu_worker.engines`.
"""
