"""The guest of a laptop's stack, who gets into the playground with one click.

Only `settings.DEMO_SIGN_IN` opens this door. Local mode has it, where the API listens on loopback.
"""

from django.conf import settings
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts.choice import MODE
from accounts.management.commands.seeddemo import GUEST_EMAIL
from accounts.models import User


@require_POST
def sign_in_as_guest(request: HttpRequest) -> HttpResponseBase:
    """Sign the guest in, in test mode.

    Raises:
        Http404: There is no such door here.
    """
    guest = User.objects.filter(email=GUEST_EMAIL, is_staff=False).first() if settings.DEMO_SIGN_IN else None
    if guest is None:
        raise Http404
    login(request, guest, backend="django.contrib.auth.backends.ModelBackend")
    request.session[MODE] = "test"
    return HttpResponseRedirect(reverse("playground"))
