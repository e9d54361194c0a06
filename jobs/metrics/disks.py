"""How much room this host has for uploads that arrive and, where there is no bucket, for all files."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.core.files.storage import default_storage
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jobs.storage import objects


class Disks(Collector):
    """Of this host: unlike the deployment's values, it differs between web processes."""

    def collect(self) -> Iterator[Metric]:
        free = GaugeMetricFamily("avatar_disk_free_bytes", "Free on a folder's disk.", labels=["folder"])
        size = GaugeMetricFamily("avatar_disk_size_bytes", "Size of a folder's disk.", labels=["folder"])
        for name, folder in folders().items():
            usage = shutil.disk_usage(folder)
            free.add_metric([name], usage.free)
            size.add_metric([name], usage.total)
        yield from (free, size)


def folders() -> dict[str, Path]:
    found = {"uploads": Path(tempfile.gettempdir())}
    if not objects.is_bucket():
        found["store"] = Path(default_storage.path(""))
    return {name: folder for name, folder in found.items() if folder.exists()}
