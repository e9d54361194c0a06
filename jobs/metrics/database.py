"""What Postgres says. A scrape reads what is open, and a count of what has ended: never every job."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Count, Min, Q
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gpu_worker.contract.queues import RENDER_QUEUES
from gpu_worker.contract.spec import EngineName
from jobs.models import EndedJobs, Job, WebhookDelivery
from jobs.states import OPEN, Status


def mode_of(livemode: bool) -> str:
    return "live" if livemode else "test"


class Jobs(Collector):
    """The jobs that haven't ended, by what they are."""

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("avatar_jobs", "Open jobs.", labels=["state", "engine", "preset", "mode"])
        for status in sorted(OPEN):  # Each has a partial index, which the two together would not use.
            rows = (
                Job.objects.filter(status=status)
                .order_by()
                .values("engine", "preset", "livemode")
                .annotate(n=Count("pk"))
            )
            for row in rows:
                labels = [status, row["engine"], row["preset"], mode_of(row["livemode"])]
                jobs.add_metric(labels, row["n"])
        yield jobs


class Ended(Collector):
    """The jobs that have ended, by how; what they took, by whose they were."""

    def collect(self) -> Iterator[Metric]:
        rows = list(EndedJobs.objects.all())
        labels = ["state", "engine", "preset", "mode", "code"]
        ended = CounterMetricFamily("avatar_jobs_ended", "Jobs that have ended.", labels=labels)
        counts: dict[tuple[str, ...], int] = {}
        for row in rows:
            kind = (row.status, row.engine, row.preset, mode_of(row.livemode), row.error_code)
            counts[kind] = counts.get(kind, 0) + row.jobs
        for labelled, number in counts.items():
            ended.add_metric(labelled, number)
        yield ended
        yield from by_organization(rows)


@dataclass
class Taken:
    """What one organization's jobs took, at their end."""

    gpu_seconds: float = 0
    video_seconds: float = 0
    charged_usd: float = 0


def by_organization(rows: list[EndedJobs]) -> Iterator[Metric]:
    taken: dict[str, Taken] = {}
    for row in rows:
        its = taken.setdefault(row.organization_id, Taken())
        its.gpu_seconds += row.gpu_seconds if row.engine == EngineName.INFINITETALK else 0
        its.video_seconds += float(row.charged_seconds)
        its.charged_usd += float(row.cost_usd)
    for name, attribute, documentation in (
        ("avatar_gpu_seconds", "gpu_seconds", "GPU seconds of jobs that have ended."),
        ("avatar_video_seconds", "video_seconds", "Seconds of video that were charged."),
        ("avatar_charged_usd", "charged_usd", "What was charged."),
    ):
        family = CounterMetricFamily(name, documentation, labels=["organization"])
        for organization, its in taken.items():
            family.add_metric([organization], getattr(its, attribute))
        yield family


class Waiting(Collector):
    """Postgres holds the queue of jobs: how many wait for an engine, and the oldest since when."""

    def collect(self) -> Iterator[Metric]:
        count = GaugeMetricFamily("avatar_jobs_waiting", "Jobs not yet started.", labels=["queue"])
        age = GaugeMetricFamily("avatar_jobs_waiting_oldest_seconds", "Age of the oldest.", labels=["queue"])
        now = timezone.now()
        for engine in EngineName:
            found = Job.objects.filter(status=Status.QUEUED, engine=engine).aggregate(
                n=Count("pk"), oldest=Min("created_at")
            )
            count.add_metric([RENDER_QUEUES[engine]], found["n"])
            age.add_metric(
                [RENDER_QUEUES[engine]], (now - found["oldest"]).total_seconds() if found["n"] else 0
            )
        yield from (count, age)


class Deliveries(Collector):
    """Webhooks that are to be sent: due now, or later after a try that failed."""

    def collect(self) -> Iterator[Metric]:
        found = WebhookDelivery.objects.filter(state=WebhookDelivery.State.PENDING).aggregate(
            due=Count("pk", filter=Q(next_try_at__lte=timezone.now())),
            retrying=Count("pk", filter=Q(tries__gt=0)),
        )
        family = GaugeMetricFamily("avatar_webhook_deliveries", "Deliveries to be sent.", labels=["state"])
        for state, number in found.items():
            family.add_metric([state], number)
        yield family
