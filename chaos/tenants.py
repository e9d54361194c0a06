"""The tenants of a run: made in the database, where nobody can order an account for himself."""

from dataclasses import dataclass

from accounts.models import Organization, Plan
from accounts.scopes import Scope
from accounts.services import mint_key
from chaos.plan import TENANTS
from chaos.receiver import Receiver
from jobs.models import WebhookEventType
from jobs.webhooks import endpoints

FINAL_EVENTS = [WebhookEventType.SUCCEEDED, WebhookEventType.FAILED, WebhookEventType.CANCELED]
QUOTA_SECONDS = 10**6


@dataclass(frozen=True)
class Tenant:
    """An organization with a key of each mode, by `livemode`."""

    organization: str
    keys: dict[bool, str]


def make_tenants(receiver: Receiver) -> list[Tenant]:
    """Eight tenants that no limit stops, each with a webhook of each mode."""
    plenty = {"create_per_minute": 10**6, "read_per_minute": 10**6, "queued_jobs": 10**4}
    Plan.objects.update(**plenty, concurrent_jobs=4, video_seconds_per_month=QUOTA_SECONDS)
    return [_make(f"tenant {number}", receiver) for number in range(TENANTS)]


def _make(name: str, receiver: Receiver) -> Tenant:
    organization = Organization.objects.create(name=name)
    keys = {}
    for livemode in (False, True):
        path = f"/{organization.pk}/{'live' if livemode else 'test'}"
        endpoint = endpoints.create(
            organization=organization,
            livemode=livemode,
            url=f"{receiver.url}{path}",
            event_types=FINAL_EVENTS,
        )
        receiver.secrets[path] = endpoint.secret
        _, keys[livemode] = mint_key(
            organization=organization, livemode=livemode, name="chaos", scopes=frozenset(Scope.values)
        )
    return Tenant(organization.pk, keys)
