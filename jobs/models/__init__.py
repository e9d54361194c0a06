"""The tables of `jobs`, a module each for what belongs together."""

from jobs.models.asset import Asset
from jobs.models.ended_jobs import EndedJobs
from jobs.models.job import Job, JobEvent
from jobs.models.lease_watch import LeaseWatch
from jobs.models.take_down import BlockedPicture, TakeDownReport
from jobs.models.usage import MonthlyUsage
from jobs.models.virtual_time import VirtualTime
from jobs.models.webhooks import WebhookDelivery, WebhookEndpoint, WebhookEventType, WebhookSecret

__all__ = [
    "Asset",
    "BlockedPicture",
    "EndedJobs",
    "Job",
    "JobEvent",
    "LeaseWatch",
    "MonthlyUsage",
    "TakeDownReport",
    "VirtualTime",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEventType",
    "WebhookSecret",
]
