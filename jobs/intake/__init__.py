"""From what a customer sent to checked, normalised inputs in the store: requests, sources, probes, assets.

Files are opened only in the sandbox. What becomes of a job once its inputs are there belongs to `lifecycle`.
"""
