"""The object store as a render worker uses it, with retries.

Which keys there are stands in `gpu_worker.contract.storage_keys`.
"""
