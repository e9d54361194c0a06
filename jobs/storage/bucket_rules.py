"""The bucket's own rules: a net under our deletion, and what browsers may do.

The net catches what nobody deleted. It counts days from an object's making, and a job's inputs are made
before the job waits, renders and is kept: so it leaves as many days as the longest retention needs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

from botocore.exceptions import ClientError
from django.db.models import Max

from accounts.models import ApiKey, Organization, Plan
from gpu_worker.contract import storage_keys
from jobs.models import Job
from jobs.storage.objects import bucket

BEFORE_THE_END = timedelta(hours=12)
"""How long a job may wait and render before its files' retention begins."""
CORS_SECONDS = 3600

Rule = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A rule of ours as it will be, in the store's own form.

    Attributes:
        what: Where it stands: `lifecycle` or `cors`.
        is_there: Whether the bucket has it already.
    """

    what: str
    rule: Rule
    is_there: bool


def longest_retention() -> timedelta:
    """Of any plan, organization, key, and of the jobs whose files are still there."""
    sources = (Plan.objects, Organization.objects, ApiKey.objects, Job.objects.filter(expired=False))
    seconds = [rows.aggregate(longest=Max("retention_seconds"))["longest"] or 0 for rows in sources]
    return timedelta(seconds=max(seconds))


def days_kept(retention: timedelta) -> int:
    """After how many days an object may go, whatever became of its job: one at least."""
    return ceil((retention + BEFORE_THE_END) / timedelta(days=1))


def lifecycle_rules(days: int) -> list[Rule]:
    return [
        {
            "ID": "avatar-net",
            "Status": "Enabled",
            "Filter": {"Prefix": storage_keys.ROOT},
            "Expiration": {"Days": days},
        },
        {
            "ID": "avatar-unfinished-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        },
    ]


def cors_rules(origins: Sequence[str]) -> list[Rule]:
    """Uploads from these origins. EndpointStatus from any: a browser that was redirected here names none."""
    watching = {
        "ID": "avatar-watching",
        "AllowedMethods": ["GET", "HEAD"],
        "AllowedOrigins": ["*"],
        "AllowedHeaders": ["range"],
        "ExposeHeaders": ["Accept-Ranges", "Content-Length", "Content-Range", "ETag"],
        "MaxAgeSeconds": CORS_SECONDS,
    }
    uploading = {
        "ID": "avatar-uploading",
        "AllowedMethods": ["PUT"],
        "AllowedOrigins": list(origins),
        "AllowedHeaders": ["content-type", "if-none-match"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": CORS_SECONDS,
    }
    return [watching, uploading] if origins else [watching]


def plan(days: int, origins: Sequence[str]) -> list[Change]:
    """What `apply` would write, beside the rules of others, which stay."""
    wanted = {"lifecycle": lifecycle_rules(days), "cors": cors_rules(origins)}
    there = {"lifecycle": _lifecycle(), "cors": _cors()}
    return [Change(what, rule, rule in there[what]) for what, rules in wanted.items() for rule in rules]


def apply(days: int, origins: Sequence[str]) -> None:
    """Write our rules in the place of those that an earlier run wrote."""
    client, name = bucket().meta.client, bucket().name
    client.put_bucket_lifecycle_configuration(
        Bucket=name,
        LifecycleConfiguration={"Rules": _merged(_lifecycle(), lifecycle_rules(days))},
    )
    client.put_bucket_cors(
        Bucket=name, CORSConfiguration={"CORSRules": _merged(_cors(), cors_rules(origins))}
    )


def _merged(there: list[Rule], ours: list[Rule]) -> list[Rule]:
    return [rule for rule in there if not str(rule.get("ID", "")).startswith("avatar-")] + ours


def _lifecycle() -> list[Rule]:
    client = bucket().meta.client
    rules = _unless("NoSuchLifecycleConfiguration", client.get_bucket_lifecycle_configuration)
    return list(rules.get("Rules", []))


def _cors() -> list[Rule]:
    rules = _unless("NoSuchCORSConfiguration", bucket().meta.client.get_bucket_cors)
    return list(rules.get("CORSRules", []))


def _unless(code: str, ask: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The store's answer, or nothing where it says by `code` that there is none."""
    try:
        return ask(Bucket=bucket().name)
    except ClientError as error:
        if error.response["Error"]["Code"] == code:
            return {}
        raise
