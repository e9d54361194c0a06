"""Addresses that are answered by naming another one."""

from django.http import Http404, HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.shortcuts import redirect
from django.templatetags.static import static
from django.views.decorators.csrf import csrf_exempt

from avatar_api.common.problems import safe_only, wants_page


@csrf_exempt  # It changes nothing.
def without_trailing_slash(request: HttpRequest, address: str = "") -> HttpResponse:
    """308, so that method and body stay; whether there is anything is found out there."""
    path, mark, query = request.get_full_path().partition("?")
    return HttpResponsePermanentRedirect(path.rstrip("/") + mark + query, preserve_request=True)


@safe_only
def to_admin(request: HttpRequest) -> HttpResponse:
    return redirect("admin:index")


@safe_only
def to_icon(request: HttpRequest) -> HttpResponse:
    """What browsers ask for on behalf of pages that name no icon."""
    return redirect(static("design/icon.svg"))


@safe_only
def to_documentation(request: HttpRequest) -> HttpResponse:
    """What a person finds who opens the address of the API itself; for a program there is nothing."""
    if not wants_page(request):
        raise Http404
    return redirect("docs")
