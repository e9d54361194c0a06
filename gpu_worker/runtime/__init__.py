"""The worker process: RQ, its context, heartbeats, shutdown, the outbox of reports, sessions on RunPod.

Nothing here knows what is in a job.
"""
