"""Who may keep an answer open: looked up when it begins and again while it lasts, and counted meanwhile."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.db import close_old_connections

from accounts import access
from accounts.tenant import Tenant
from avatar_api.common.asgi import Scope, request_of
from avatar_api.common.slots import Slots
from avatar_api.common.transient_errors import transient_cause

THREADS = 2
CHECK_SECONDS = 15.0


class Admission:
    """Lets answers stay open for those who may, and as many as their organization may have."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "admission")
        self._open = Slots("open streams and waiting requests")

    async def tenant_of(self, scope: Scope) -> Tenant | None:
        """For whom a request acts now; None when its credential doesn't hold any more."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up, scope)

    @contextmanager
    def opened(self, tenant: Tenant) -> Iterator[None]:
        """Keep an answer open meanwhile.

        Raises:
            Problem: `concurrency_limited`: the organization has as many as it may.
        """
        with self._open.taken(tenant.organization_subject, tenant.organization_limits.open_streams):
            yield

    def close(self) -> None:
        self._threads.shutdown()


class Pass:
    """An admission that holds for a while, and is then asked for again."""

    def __init__(self, admission: Admission, scope: Scope, tenant: Tenant) -> None:
        self._admission = admission
        self._scope = scope
        self._subject = tenant.organization_subject
        self._checked_at = time.monotonic()

    async def holds(self) -> bool:
        """Whether the key or session, its address and its organization still let this client listen.

        While the database can't be asked, whoever was let in stays.
        """
        if time.monotonic() - self._checked_at < CHECK_SECONDS:
            return True
        try:
            tenant = await self._admission.tenant_of(self._scope)
        except Exception as error:
            if transient_cause(error):
                return True
            raise
        self._checked_at = time.monotonic()
        return tenant is not None and tenant.organization_subject == self._subject


def look_up(scope: Scope) -> Tenant | None:
    close_old_connections()
    try:
        return access.tenant_of(request_of(scope))
    finally:
        close_old_connections()
