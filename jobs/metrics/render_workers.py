"""What render workers tell of themselves; see `gpu_worker.contract.coordination.WorkerFacts`."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis import Redis

from gpu_worker.contract import coordination

GAUGES = {
    "avatar_worker_cold_start_seconds": ("cold_start_seconds", "From its start until it could take a job."),
    "avatar_worker_load_seconds": ("load_seconds", "What loading the models took the last time."),
    "avatar_worker_loaded_bytes": ("loaded_bytes", "Size of the models that were loaded."),
    "avatar_worker_vram_used_bytes": ("vram_used_bytes", "GPU memory in use."),
    "avatar_worker_vram_total_bytes": ("vram_total_bytes", "GPU memory there is."),
    "avatar_worker_vram_peak_bytes": ("vram_peak_bytes", "The most that the models held in the last job."),
    "avatar_worker_utilisation": ("utilisation", "Share of the last second in which the GPU computed."),
    "avatar_worker_uncompiled_calls": ("uncompiled_calls", "Calls of blocks that ran uncompiled."),
}
COUNTERS = {
    "avatar_worker_storage_errors": ("storage_errors", "Tries that the object store failed."),
    "avatar_worker_render_seconds": ("render_seconds", "How long attempts have held the worker."),
}
LABELS = ["worker", "engine", "device"]


def collect(redis: Redis) -> Iterator[Metric]:
    """A series for each worker that has told of itself within the last minute."""
    workers = coordination.read_workers(redis)
    for kind, metrics in ((GaugeMetricFamily, GAUGES), (CounterMetricFamily, COUNTERS)):
        for name, (attribute, documentation) in metrics.items():
            family = kind(name, documentation, labels=LABELS)
            for worker in workers:
                value = getattr(worker, attribute)
                if value is not None:  # A CPU has no memory of a GPU.
                    family.add_metric([worker.name, worker.engine, worker.device], value)
            yield family
