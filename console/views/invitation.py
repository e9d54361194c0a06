"""The page to which the link of an invitation leads: accept it, with an account or a new one."""

from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts import invitations, sign_up
from accounts.choice import ORGANIZATION
from accounts.models import User
from console.pages import page


@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Whoever isn't logged in is led to log-in, or to sign-up, and back."""
    try:
        found = invitations.find(token)
        if request.method == "POST" and isinstance(request.user, User):
            membership = invitations.accept(token, request.user)
            request.session[ORGANIZATION] = membership.organization_id
            return HttpResponseRedirect(reverse("playground"))
    except invitations.NotInvitedError:
        return page(request, "invitation_over.html", status=404)
    sign_up.remember_invitation(request, token)
    back = urlencode({"next": request.path})
    context = {"invitation": found, "back": back, "may_sign_up": get_adapter().is_open_for_signup(request)}
    context["is_theirs"] = getattr(request.user, "email", None) == found.email
    return page(request, "invitation.html", context)
