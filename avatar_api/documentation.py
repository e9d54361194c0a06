"""Pages for those who write clients: the OpenAPI document, two ways to read it, and every error code.

Nothing here is fetched from elsewhere: scripts and styles come with the deployment, and the pages'
Content-Security-Policy lets browsers ask nobody else.
"""

import json
from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator

from avatar_api.common.problems import safe_only
from gpu_worker.contract.error_codes import ERROR_CODES

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'; worker-src blob:"
)


@cache
def document() -> bytes:
    """The OpenAPI document as JSON; it is the same until the process ends."""
    return json.dumps(SchemaGenerator().get_schema(request=None, public=True)).encode()


@safe_only
def openapi(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(document(), content_type="application/json")
    response["Cache-Control"] = "public, max-age=300"
    return response


@safe_only
def swagger(request: HttpRequest) -> HttpResponse:
    return page(request, "swagger.html")


@safe_only
def redoc(request: HttpRequest) -> HttpResponse:
    return page(request, "redoc.html")


@safe_only
def errors(request: HttpRequest) -> HttpResponse:
    return page(request, "errors.html", codes=ERROR_CODES)


def page(request: HttpRequest, template: str, **context: object) -> HttpResponse:
    response = render(request, f"documentation/{template}", context)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
