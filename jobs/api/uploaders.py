"""For whom a body counts while it is received: an address; large ones, for the owner of a credential."""

import re

from django.db import close_old_connections
from django.http import HttpRequest

from accounts import uploaders
from accounts.client_address import address_in, throttled_as
from avatar_api.common.asgi import Scope, header
from avatar_api.common.problems import Problem
from avatar_api.common.transient_errors import transient_cause
from jobs.intake import assets

FILE_PATH = re.compile(r"/v1/files/([^/]+)")


def address_of(scope: Scope) -> str:
    peer = scope["client"][0] if scope.get("client") else ""
    return throttled_as(address_in(header(scope, "x-forwarded-for") or "", peer))


def uploader_of(scope: Scope) -> str | None:
    """The key, person or asset that a large body is for; None: it will be refused, so none of it is kept."""
    close_old_connections()
    try:
        if match := FILE_PATH.fullmatch(scope["path"]):
            return assets.asset_of_token(match[1]).organization_id
        return uploaders.uploader_of(_request(scope))
    except Problem:
        return None
    except Exception as error:
        if transient_cause(error):
            return None  # The request itself will meet it too, and answer that the service is unavailable.
        raise
    finally:
        close_old_connections()


def _request(scope: Scope) -> HttpRequest:
    request = HttpRequest()
    for name in ("authorization", "x-api-key", "cookie"):
        if (value := header(scope, name)) is not None:
            request.META[f"HTTP_{name.upper().replace('-', '_')}"] = value
    return request
