"""What both sides use and neither is about: logs, telemetry, the object store's settings, scratch folders.

Nothing here knows jobs, presets or attempts; what the two sides have to agree on is `gpu_worker.contract`.
"""
