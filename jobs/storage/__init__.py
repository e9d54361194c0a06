"""The object store as the control side uses it: reading and deleting objects, the audit, the bucket's rules.

Keys come from `gpu_worker.contract.storage_keys`; which objects a job or an asset has, its callers decide.
"""
