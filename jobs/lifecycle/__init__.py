"""The verbs on a job, each with its transaction: create, estimate, fetch, cancel, retry, report, expire.

Only `transitions` writes `Job.status`. Whose turn it is belongs to `scheduling`, money to `billing`.
"""
