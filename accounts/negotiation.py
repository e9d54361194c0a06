"""Which form an answer takes: the browsable API for a signed-in person, JSON for everybody else."""

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request


class PersonOrProgram(DefaultContentNegotiation):
    """Offers HTML to people only, and answers those who would take nothing but HTML in JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        if "text/html" in request.headers.get("Accept", "") and not is_person(request):
            renderer = next(r for r in renderers if not isinstance(r, BrowsableAPIRenderer))
            return renderer, str(renderer.media_type)
        selected: Any = super().select_renderer(request, renderers, format_suffix)
        return selected


def is_person(request: Request) -> bool:
    """Whether a session decides who asks, which costs no query where a key does."""
    with_key = "Authorization" in request.headers or "X-API-Key" in request.headers
    return not with_key and request._request.user.is_authenticated
