"""Django as a WSGI application, which `avatar_api.asgi` serves."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

from avatar_api.common.request_body import WholeBody
from gpu_worker.common import telemetry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avatar_api.settings.production")
_django = get_wsgi_application()
telemetry.set_up("avatar-web")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django behind a body that is whole or an error."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if length.isdecimal():
        environ["wsgi.input"] = WholeBody(environ["wsgi.input"], int(length))
    return _django(environ, start_response)
