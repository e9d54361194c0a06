"""Django as a WSGI application, which `avatar_api.asgi` serves."""

import os
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.core.wsgi import get_wsgi_application

from avatar_api.common.request_bodies import BODY_KEY
from gpu_worker.common import telemetry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avatar_api.settings.production")
_django = get_wsgi_application()
telemetry.set_up("avatar-web")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django behind a body that `avatar_api.asgi` has received; a plain WSGI server brings its own."""
    if "asgi.scope" in environ:
        environ["wsgi.input"] = environ["asgi.scope"].get(BODY_KEY) or BytesIO()
    return _django(environ, start_response)
