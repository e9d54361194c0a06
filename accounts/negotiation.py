"""Which form an answer takes: the browsable API for a signed-in person, JSON for everybody else.

A program gets JSON whatever it asks for, so that no header and no parameter makes its answer unreadable.
"""

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request


class PersonOrProgram(DefaultContentNegotiation):
    """Negotiates with people alone."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        if not is_person(request):
            return json_of(renderers)
        selected: Any = super().select_renderer(request, renderers, format_suffix)
        return selected


class AlwaysJson(DefaultContentNegotiation):
    """For redirects, whose body nobody reads: what the client accepts is for where they lead."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return json_of(renderers)


def json_of(renderers: Iterable[BaseRenderer]) -> tuple[BaseRenderer, str]:
    renderer = next(r for r in renderers if not isinstance(r, BrowsableAPIRenderer))
    return renderer, str(renderer.media_type)


def is_person(request: Request) -> bool:
    """Whether a session decides who asks, which costs no query where a key does."""
    with_key = "Authorization" in request.headers or "X-API-Key" in request.headers
    return not with_key and request._request.user.is_authenticated
