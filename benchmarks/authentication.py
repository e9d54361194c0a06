"""What a key costs a request: authentication, rate limit and scope, against a view without them.

Whole requests go through Django's WSGI handler with all middleware, on a connection from the pool; the
parts are called by themselves.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from avatar_api.embedded import throwaway_services
from benchmarks.row import Row

if TYPE_CHECKING:
    from accounts.tenant import Tenant

REQUESTS = 1000
WARM_UP = 100


def rows() -> Iterator[Row]:
    """Medians in µs; the goal for the whole is 1,000."""
    with TemporaryDirectory() as home, throwaway_services(Path(home)) as services:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "avatar_api.settings.local",
            "DATABASE_URL": services.database_url,
            "REDIS_URL": services.redis_url,
            "LOG_LEVEL": "ERROR",
        }
        yield from measured(*prepared())
        hang_up()


def prepared() -> tuple[Any, str]:
    """The handler with both views behind it, and a key that no limit stops."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.management import call_command

    from accounts.services import ALL_SCOPES, create_organization, mint_key

    settings.ROOT_URLCONF = both_views()
    call_command("migrate", verbosity=0)
    organization = create_organization(name="Bench", plan="scale")
    assert organization.plan.read_per_minute > WARM_UP + REQUESTS
    _, key = mint_key(organization=organization, livemode=True, name="bench", scopes=ALL_SCOPES)
    return WSGIHandler(), key


def both_views() -> tuple[Any, ...]:
    from django.urls import path
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from accounts.tenancy import TenantView

    class BareView(APIView):
        authentication_classes = ()
        permission_classes = ()

        def get(self, request: Any) -> Response:
            return Response({"ok": True})

    class KeyView(TenantView):
        required_scope = {"GET": "jobs:read"}

        def get(self, request: Any) -> Response:
            return Response({"ok": True})

    return path("bare", BareView.as_view()), path("with-key", KeyView.as_view())


def measured(handler: Any, key: str) -> Iterator[Row]:
    bare = microseconds(lambda: ask(handler, "/bare", key))
    whole = microseconds(lambda: ask(handler, "/with-key", key))
    yield Row("bare view", bare, "µs")
    yield Row("view with a key", whole, "µs")
    yield Row("authentication, throttle and scope together", whole - bare, "µs")
    yield from parts(key)


def parts(key: str) -> Iterator[Row]:
    from accounts import api_keys, rate_limits
    from accounts.authentication import find_key, tenant_of_key

    def tenant() -> "Tenant":
        return tenant_of_key(find_key(key))

    parsed, digest = api_keys.parse(key), find_key(key).secret_sha256
    yield Row(
        "parse and verify the key", microseconds(lambda: api_keys.verify(api_keys.parse(key), digest)), "µs"
    )
    yield Row("authenticate, with query and limits", microseconds(tenant), "µs")
    yield Row(
        "count against the rate limit", microseconds(lambda: rate_limits.hit("bench", 3000, parsed.id)), "µs"
    )


def ask(handler: Any, path: str, key: str) -> None:
    """One request from the first byte to the closing of the answer, as a WSGI server does it."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
    }
    statuses: list[str] = []
    response = handler(environ, lambda status, headers: statuses.append(status))
    b"".join(response)
    response.close()
    assert statuses == ["200 OK"], statuses


def microseconds(work: Callable[[], object]) -> float:
    """The median of many calls, after some that fill caches."""
    for _ in range(WARM_UP):
        work()
    taken = []
    for _ in range(REQUESTS):
        begin = time.perf_counter_ns()
        work()
        taken.append(time.perf_counter_ns() - begin)
    return statistics.median(taken) / 1000


def hang_up() -> None:
    """Leave the servers before they stop."""
    from django.db import connection

    connection.close_pool()  # type: ignore[attr-defined]  # Postgres has one
