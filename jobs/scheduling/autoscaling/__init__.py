"""Waking the workers of a RunPod endpoint when jobs wait for a GPU.

A wake is a request to the endpoint: RunPod gives it to a worker, or starts one for it, and the worker then
takes jobs from the render queue for a turn of some minutes. Which jobs is never in the request.

- What is outstanding is never written down here, because RunPod knows it. A round (`reconcile`) asks the
  endpoint how many wakes no worker has taken yet and how many turns are in progress, reads from Postgres how
  many jobs want a worker, and makes what is missing. A wake may get lost in whatever way, or be made although
  RunPod's answer never came: the next round sees what is true. Nor does losing Redis lose anything.
- Whoever dispatches only triggers (`trigger`): it puts a round into the `outbound` queue, unless one is there
  or at work already. No request and no transaction ever waits for RunPod. `operations.reconcile` triggers
  every ten seconds.
- One round at a time, by a lock of the database; and while jobs wait, none within five seconds of the last:
  so long RunPod may take to count what was requested of it.
- Nothing is cancelled at RunPod when the jobs are gone before a worker has come: it is being started by then,
  and a worker that finds nothing to do ends its turn after five seconds.

All of it is off while RUNPOD_ENDPOINT_ID is unset.
"""
