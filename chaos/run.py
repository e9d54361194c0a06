"""One run: start, undisturbed renders, the storm, healing, and the promises. Django is set up before."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.core.management import call_command
from django.db import connections
from django.db.models import Q
from django.utils import timezone

from chaos import plan, table, targets
from chaos.customers import Customers
from chaos.drills import Drills
from chaos.idle_watch import IdleWatch
from chaos.plan import Fault, Order, Variant
from chaos.promises import Promises, Video, decoded
from chaos.quiescence import is_at_work, progress_of, wait
from chaos.stack import Stack
from chaos.storm import TICK_SECONDS, Storm
from chaos.tenants import make_tenants
from gpu_worker.contract import coordination
from jobs.models import Job, JobEvent, WebhookDelivery
from jobs.operations.reconcile import EVERY_SECONDS
from jobs.states import OPEN
from jobs.storage.audit import Audit
from launcher.terminal import Failure, say, step

POLL_SECONDS = 0.5
# What a webhook's next try may still be waited for; later ones the customers ask for at once.
PATIENCE_SECONDS = 5.0
# Of a run's time: for healing, in which a lost worker is found out, and for looking at everything.
HEALING_SECONDS = coordination.LEASE_SECONDS + 2 * EVERY_SECONDS + 40.0
CHECKING_SECONDS = 60.0
# Two workers that are silent until they are given up, and some that are killed.
DRILLS_SECONDS = 2 * coordination.LEASE_SECONDS + 60.0
GAP_SECONDS = (2.0, 5.0)
# Orders come in this part of the storm.
ORDERING_SHARE = 0.7
SHORT_ORDERING_SECONDS = 8.0


@dataclass(frozen=True)
class Settings:
    """What a run is asked for; `seconds` are for all of it on a machine that has nothing else to do."""

    seed: int
    jobs: int
    seconds: float
    short: bool


def run(settings: Settings, stack: Stack) -> list[str]:
    """Returns: a sentence for each time that a promise was broken.

    Raises:
        UnfinishedError: There was progress to the end, and more time is needed to say anything.
    """
    deadline = time.monotonic() + settings.seconds
    say(f"\n  chaos: {settings.jobs} jobs of {plan.TENANTS} tenants, SEED={settings.seed}\n")
    with stack.running():
        with step("migrate, start web, control workers and render workers"):
            call_command("migrate", verbosity=0)
            tenants = make_tenants(stack.receiver)
            connections.close_all()
            stack.start_ours()
        customers = Customers(stack.url, tenants)
        with step("render each kind of video undisturbed"):
            variants = plan.SHORT_VARIANTS if settings.short else plan.VARIANTS
            undisturbed = render_undisturbed(stack, customers, list(dict.fromkeys(variants)))
        orders, faults = plans(settings, deadline)
        with step(f"{len(orders)} orders, {len(faults)} faults, and healing"):
            storm = Storm(stack, customers, orders, faults, settings.seed)
            with IdleWatch(stack.valkey.url) as watch:
                storm.rage()
                hurried = heal(stack, customers)
        # The short run has shorter leases, and may share its machine with other tests.
        seen = [] if settings.short else drill(stack, customers, storm, watch)
        customers.leave()
        return seen + verdict(stack, customers, undisturbed, storm, hurried)


def drill(stack: Stack, customers: Customers, storm: Storm, watch: IdleWatch) -> list[str]:
    """Lose workers while nothing else goes wrong; returns a sentence for each target that was missed."""
    with step("lose workers one by one"):
        drills = Drills(stack, customers).all()
        heal(stack, customers)
    measured = targets.measure(storm.outages, drills, watch)
    connections.close_all()
    targets.show(measured)
    return list(targets.missed(measured))


def plans(settings: Settings, deadline: float) -> tuple[list[Order], list[Fault]]:
    if settings.short:
        orders = plan.orders(settings.seed, settings.jobs, SHORT_ORDERING_SECONDS, plan.SHORT_VARIANTS)
        return orders, list(plan.SHORT_FAULTS)
    seconds = max(30.0, deadline - time.monotonic() - HEALING_SECONDS - DRILLS_SECONDS - CHECKING_SECONDS)
    lost_seconds = coordination.LEASE_SECONDS + 2 * EVERY_SECONDS
    orders = plan.orders(settings.seed, settings.jobs, ORDERING_SHARE * seconds, plan.VARIANTS)
    return orders, plan.faults(settings.seed, seconds, GAP_SECONDS, lost_seconds)


def render_undisturbed(
    stack: Stack, customers: Customers, variants: Sequence[Variant]
) -> dict[Variant, Video]:
    """Each variant as it looks when nothing goes wrong.

    Raises:
        Failure: That doesn't work.
    """
    for number, variant in enumerate(variants):
        customers.place(Order(0, f"undisturbed-{number}", number % plan.TENANTS, variant, None))

    def is_over() -> bool:
        return len(customers.answered) == len(variants) and not Job.objects.filter(status__in=OPEN).exists()

    def keep() -> None:
        stack.keep()
        time.sleep(POLL_SECONDS)

    if not wait(is_over, lambda: progress_of(customers), keep):
        raise Failure(f"Nothing was disturbed, and yet not everything was rendered; see {stack.logs}.")
    connections.close_all()
    jobs = {answered.order.variant: customers.job(answered) for answered in customers.answered}
    for job in jobs.values():
        if job["output"] is None:
            raise Failure(f"Nothing was disturbed, and yet {job['id']} {job['status']}: {job['error']}.")
    return {variant: decoded(customers.video(job)) for variant, job in jobs.items()}


def heal(stack: Stack, customers: Customers) -> int:
    """Keep everything running until nothing is left to do, or nothing gets done any more.

    Returns:
        How many messages had to be asked for again, since their next try was minutes away.
    """
    hurried = 0

    def keep() -> None:
        nonlocal hurried
        hurried += hurry_messages(customers)
        until = time.monotonic() + POLL_SECONDS
        while time.monotonic() < until:
            stack.keep()
            time.sleep(TICK_SECONDS)

    if not wait(lambda: not is_at_work(customers), lambda: progress_of(customers), keep):
        say("\n  Nothing gets done any more, and not everything is done.")
    connections.close_all()
    return hurried


def hurry_messages(customers: Customers) -> int:
    """Ask for messages whose next try is minutes away."""
    later = timezone.now() + timedelta(seconds=PATIENCE_SECONDS)
    rows = WebhookDelivery.objects.filter(
        Q(leased_until__isnull=True), state=WebhookDelivery.State.PENDING, next_try_at__gt=later
    )
    waiting = list(rows)
    for row in waiting:
        customers.redeliver(
            row.organization_id, livemode=row.livemode, endpoint=str(row.endpoint_id), delivery=row.id
        )
    return len(waiting)


def verdict(
    stack: Stack, customers: Customers, undisturbed: dict[Variant, Video], storm: Storm, hurried: int
) -> list[str]:
    """Check every promise, and show the table."""
    promises = Promises(stack, customers, undisturbed)
    removed = sum(finding.deleted for finding in Audit(grace=timedelta(0), delete=True).findings())
    checks = {
        "lost": promises.lost,
        "doubled": promises.doubled,
        "without an answer, or refused": promises.unanswered,
        "ends that nobody asked for": promises.states,
        "videos incomplete or different": promises.videos,
        "ends delivered never, twice or wrongly": promises.messages,
        "quotas wrong": promises.quota,
        "objects unknown or missing": promises.storage,
        "still at work, in rows or queues": promises.rest,
    }
    with step("look at everything"):
        broken = {name: list(check()) for name, check in checks.items()}
    recovery = table.recovery_seconds(storm.ends)
    facts = facts_of(stack, customers, promises, removed, hurried)
    write_events(stack)
    stack.end_ours()
    broken["temporary files left"] = list(promises.temporary_files())
    table.show_faults(storm.made)
    table.show(facts | {name: len(sentences) for name, sentences in broken.items()})
    table.show(
        {
            f"seconds to recover, p{percent}": f"{table.percentile(recovery, percent):.1f}"
            for percent in (50, 95)
        }
    )
    return [f"{name}: {sentence}" for name, sentences in broken.items() for sentence in sentences]


def write_events(stack: Stack) -> None:
    """Beside the logs: what the database has noted of every job, by which to find out what went wrong."""
    with (stack.logs / "events.log").open("w") as log:
        for event in JobEvent.objects.order_by("created_at"):
            log.write(
                f"{event.created_at:%H:%M:%S.%f} {event.job_id} a{event.attempt} {event.type} {event.data}\n"
            )


def facts_of(
    stack: Stack, customers: Customers, promises: Promises, removed: int, hurried: int
) -> dict[str, object]:
    """What is no promise, and yet tells what the run has gone through."""
    restarts = sum(process.starts - 1 for process in stack.processes.values())
    own_ends = sum(process.own_ends for process in stack.processes.values())
    jobs = {f"jobs {status}": count for status, count in sorted(promises.statuses.items())}
    return {
        "jobs answered with 202": len(customers.answered),
        **jobs,
        "jobs whose worker was lost three times (worker_lost)": promises.justly_lost,
        "attempts": sum(job.attempt for job in promises.rows.values()),
        "attempts lost": promises.event_counts["lost"],
        "attempts handed back": promises.event_counts["handed_back"],
        "requests repeated by customers": customers.repeats,
        "answers 500": len(customers.errors),
        "messages received": len(stack.receiver.messages),
        "messages that customers asked for again": hurried,
        "objects removed by the audit": removed,
        "entries that killed workers left in RQ's registries": promises.abandoned,
        "processes started again": restarts,
        "of which ended without being told to": own_ends,
    }
