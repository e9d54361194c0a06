"""What render workers report of themselves; see `gpu_worker.contract.coordination.WorkerFacts`."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis import Redis

from gpu_worker.contract import coordination

GAUGES = {
    "avatar_worker_cold_start_seconds": ("cold_start_seconds", "From process start until ready for jobs."),
    "avatar_worker_load_seconds": ("load_seconds", "Duration of the last loading of the models."),
    "avatar_worker_loaded_bytes": ("loaded_bytes", "Size of the loaded models."),
    "avatar_worker_vram_used_bytes": ("vram_used_bytes", "GPU memory in use."),
    "avatar_worker_vram_total_bytes": ("vram_total_bytes", "Total GPU memory."),
    "avatar_worker_vram_peak_bytes": ("vram_peak_bytes", "Peak GPU memory of the last job."),
    "avatar_worker_utilisation": ("utilisation", "Share of the last second in which the GPU was busy."),
    "avatar_worker_uncompiled_calls": ("uncompiled_calls", "Calls of compiled blocks that ran uncompiled."),
}
COUNTERS = {
    "avatar_worker_storage_errors": ("storage_errors", "Failed requests to the object store."),
    "avatar_worker_render_seconds": ("render_seconds", "Seconds in which attempts have occupied the worker."),
}
LABELS = ["worker", "engine", "device"]


def collect(redis: Redis) -> Iterator[Metric]:
    """A series for each worker that has reported within the last minute."""
    workers = coordination.read_workers(redis)
    for kind, metrics in ((GaugeMetricFamily, GAUGES), (CounterMetricFamily, COUNTERS)):
        for name, (attribute, documentation) in metrics.items():
            family = kind(name, documentation, labels=LABELS)
            for worker in workers:
                value = getattr(worker, attribute)
                if value is not None:  # A CPU has no memory of a GPU.
                    family.add_metric([worker.name, worker.engine, worker.device], value)
            yield family
