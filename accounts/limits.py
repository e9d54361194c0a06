"""What an organization may do and how much of it: plan, then its own overrides, then the key's."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accounts.models import ApiKey, Organization


@dataclass(frozen=True)
class Limits:
    """The limits that hold for one request or one organization.

    Attributes:
        create_per_minute: Rate limit of the policy `create`, per key and for all keys of the organization.
        read_per_minute: Rate limit of the policy `read`, likewise.
        concurrent_jobs: Jobs that may be rendered at once.
        queued_jobs: Jobs that may wait.
        video_seconds_per_month: Quota of a calendar month (UTC); test mode stands outside of it.
        max_speech_seconds: Longest speech of one job.
        max_upload_bytes: Largest file.
        resolutions: Those a job may ask for.
        presets: Those a job may ask for.
        retention_seconds: How long files are kept after a job's end.
        price_per_video_second_usd: Before the factors of preset and resolution.
        weight: Share of the workers relative to other organizations.
        active_keys: API keys that work at once.
        open_assets: Assets that have not been deleted and have not expired.
        open_asset_bytes: Their sizes together.
        open_streams: Answers that stay open: event streams, and creations that wait for their job's end.
        open_uploads: Large request bodies that arrive at once.
        consent_required: Whether each job has to say on which consent it rests.
    """

    create_per_minute: int
    read_per_minute: int
    concurrent_jobs: int
    queued_jobs: int
    video_seconds_per_month: int
    max_speech_seconds: int
    max_upload_bytes: int
    resolutions: frozenset[str]
    presets: frozenset[str]
    retention_seconds: int
    price_per_video_second_usd: Decimal
    weight: int
    active_keys: int
    open_assets: int
    open_asset_bytes: int
    open_streams: int
    open_uploads: int
    consent_required: bool


LIMIT_NAMES = tuple(field.name for field in fields(Limits))
# What `/v1/me` doesn't show.
INTERNAL = frozenset({"weight"})
SETS = ("resolutions", "presets")


def effective_limits(
    organization: Organization, api_key: ApiKey | None = None, *, livemode: bool = True
) -> Limits:
    """The limits that hold, the most specific value winning: key, organization, plan.

    Test mode has a plan of its own (`Organization.test_plan`), on which the organization's overrides
    have no bearing: they belong to what it pays for.

    Args:
        organization: With `plan` and `test_plan` at hand, this costs no query.
        api_key: Its overrides count, and its mode decides.
        livemode: The mode where there is no key.
    """
    found = explained_limits(organization, api_key, livemode=livemode)
    return Limits(**{limit.name: limit.value for limit in found})


@dataclass(frozen=True)
class ExplainedLimit:
    """One limit and where its value comes from: `key`, `organization` or `plan`."""

    name: str
    value: Any
    source: str


def explained_limits(
    organization: Organization, api_key: ApiKey | None = None, *, livemode: bool = True
) -> list[ExplainedLimit]:
    """As `effective_limits`, one by one with their sources."""
    livemode = livemode if api_key is None else api_key.livemode
    layers: list[tuple[str, Any]] = [("plan", organization.plan if livemode else organization.test_plan)]
    if livemode:
        layers.insert(0, ("organization", organization))
    if api_key is not None:
        layers.insert(0, ("key", api_key))
    return [explain(name, layers) for name in LIMIT_NAMES]


def explain(name: str, layers: list[tuple[str, Any]]) -> ExplainedLimit:
    for source, layer in layers:
        value = getattr(layer, name)
        if value is not None:
            return ExplainedLimit(name, frozenset(value) if name in SETS else value, source)
    raise AssertionError(f"every plan has a value for {name}")


def limit_in_sql(name: str, livemode: str) -> str:
    """What `effective_limits` finds for an organization, in SQL.

    Args:
        name: The limit. The query has to know the organization as `organization`, and as `plan` its plan in
            the mode.
        livemode: The column of the mode.
    """
    return f"coalesce(CASE WHEN {livemode} THEN organization.{name} END, plan.{name})"
