"""`/`: what this is, the sample playing, and the doors."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from avatar_api.common.problems import SAFE, is_browser
from console.pages import page


@csrf_exempt  # It changes nothing, and a program that posts here is answered like at any unknown address.
def start(request: HttpRequest) -> HttpResponse:
    """Raises: Http404: a program asks; there is nothing here for it."""
    if request.method not in SAFE or not is_browser(request):
        raise Http404
    return page(request, "start.html", {"demo_sign_in": settings.DEMO_SIGN_IN})
