"""When and from where a key was last used: written at most once a minute, after the answer was sent."""

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.db import Error
from django.db.models import Q
from django.http import HttpResponseBase
from django.utils import timezone

from accounts.client_address import Address
from accounts.models import ApiKey

log = logging.getLogger(__name__)

INTERVAL = timedelta(seconds=60)


def record_after(response: HttpResponseBase, api_key: ApiKey, address: Address | None) -> None:
    """Has the use of a key written once the server closes the response, which it does after sending it."""
    if api_key.last_used_at is None or api_key.last_used_at <= timezone.now() - INTERVAL:
        closers: list[Callable[[], None]] = response._resource_closers  # type: ignore[attr-defined]
        closers.append(partial(record, api_key.pk, address))


def record(key_id: str, address: Address | None) -> None:
    """Writes the use unless another process has done so within the minute."""
    now = timezone.now()
    due = Q(last_used_at=None) | Q(last_used_at__lte=now - INTERVAL)
    try:
        ApiKey.objects.filter(due, pk=key_id).update(
            last_used_at=now, last_used_ip=str(address) if address else None
        )
    except Error:
        log.exception("the last use of a key couldn't be written")
