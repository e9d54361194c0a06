"""What Postgres says. A scrape reads what is open, and a count of what has ended: never every job."""

from collections.abc import Iterator

from django.db.models import Count, Min, Q, Sum
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gpu_worker.contract.engines import ON_GPU
from gpu_worker.contract.lanes import LANES
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
        labels = ["state", "engine", "preset", "mode", "code"]
        ended = CounterMetricFamily("avatar_jobs_ended", "Jobs that have ended.", labels=labels)
        kinds = EndedJobs.objects.values("status", "engine", "preset", "livemode", "error_code")
        for row in kinds.annotate(n=Sum("jobs")):
            mode = mode_of(row["livemode"])
            ended.add_metric([row["status"], row["engine"], row["preset"], mode, row["error_code"]], row["n"])
        yield ended
        yield from self._by_organization()

    def _by_organization(self) -> Iterator[Metric]:
        families = [
            CounterMetricFamily(name, documentation, labels=["organization"])
            for name, documentation in (
                ("avatar_gpu_seconds", "GPU seconds of jobs that have ended."),
                ("avatar_video_seconds", "Seconds of video that were charged."),
                ("avatar_charged_usd", "What was charged."),
            )
        ]
        on_gpu = Sum("gpu_seconds", filter=Q(engine__in=ON_GPU), default=0.0)
        rows = EndedJobs.objects.values_list("organization_id").annotate(
            gpu=on_gpu, video=Sum("charged_seconds", filter=Q(livemode=True), default=0), usd=Sum("cost_usd")
        )
        for organization, *taken in rows:
            for family, value in zip(families, taken, strict=True):
                family.add_metric([organization], float(value))
        yield from families


class WaitingJobs(Collector):
    """Postgres holds the queue of jobs: how many wait in each lane, and the oldest since when."""

    def collect(self) -> Iterator[Metric]:
        count = GaugeMetricFamily("avatar_jobs_waiting", "Jobs not yet started.", labels=["queue"])
        age = GaugeMetricFamily("avatar_jobs_waiting_oldest_seconds", "Age of the oldest.", labels=["queue"])
        now = timezone.now()
        for lane in LANES:
            waiting = Job.objects.filter(status=Status.QUEUED, engine=lane.engine, preset__in=lane.presets)
            found = waiting.aggregate(n=Count("pk"), oldest=Min("created_at"))
            count.add_metric([lane.queue], found["n"])
            age.add_metric([lane.queue], (now - found["oldest"]).total_seconds() if found["n"] else 0)
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
