"""How every page of the console leaves us: rendered, with a strict policy, and kept by no cache."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from avatar_api.common.security_headers import strict_policy
from jobs.storage import presigned


def page(
    request: HttpRequest, template: str, context: Mapping[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    response = render(request, f"console/{template}", context, status=status)
    store = presigned.origin()
    response["Content-Security-Policy"] = strict_policy(*([store] if store else []))
    response["Cache-Control"] = "private, no-store"
    return response
