"""A NUL is part of no address of ours, and Postgres takes none: refused before anything looks it up."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from avatar_api.common.problems import page_or_document

NUL = "\0"
API = "/v1/"


class NulCharactersMiddleware:
    """404 for a path with a NUL, 400 for a query with one; the API names the field that has it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if NUL in request.path:
            return page_or_document(request, "not_found")
        if not request.path.startswith(API) and any(map(has_nul, request.GET.lists())):
            return page_or_document(request, "parse_error")
        return self.get_response(request)


def has_nul(parameter: tuple[str, list[str]]) -> bool:
    name, values = parameter
    return NUL in name or any(NUL in value for value in values)
