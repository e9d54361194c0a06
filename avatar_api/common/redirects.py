"""Addresses that are answered by naming another one."""

from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt  # It changes nothing.
def without_trailing_slash(request: HttpRequest, address: str) -> HttpResponse:
    """308, so that method and body stay; whether there is anything is found out there."""
    path, mark, query = request.get_full_path().partition("?")
    return HttpResponsePermanentRedirect(path.rstrip("/") + mark + query, preserve_request=True)
