"""When an object was created, as the order of its list: strictly increasing within a tenant.

The organization is locked from the choice of the time until the commit. Whoever sees an object therefore sees
every older one, and a client that reads a list from its newest end until it meets what it knows misses none.
"""

from datetime import datetime, timedelta

from django.utils import timezone

from accounts.models import Organization
from avatar_api.common.tenant_queryset import TenantQuerySet

RESOLUTION = timedelta(milliseconds=1)
"""Of the times that clients see; two objects never show the same."""


def creation_time(rows: TenantQuerySet, organization: Organization, *, livemode: bool) -> datetime:
    """The time of the next of these rows, later than that of any other of the tenant's.

    It is part of the transaction that inserts the row. Creations of one organization pass here one by one, so
    what counts its objects after this overlooks none; other updates of its row needn't wait.

    Args:
        rows: All of a model.
        organization: Whose row it will be.
        livemode: Its mode.
    """
    Organization.objects.select_for_update(no_key=True).only("pk").get(pk=organization.pk)
    times = rows.for_organization(organization, livemode=livemode).order_by("-created_at")
    newest = times.values_list("created_at", flat=True).first()
    now = whole_milliseconds(timezone.now())
    return now if newest is None or newest < now else whole_milliseconds(newest) + RESOLUTION


def whole_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
