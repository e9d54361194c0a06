"""What the package's own pages leave us with: a strict policy, and kept by no cache."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from avatar_api.common.security_headers import strict_policy

PREFIX = "/account/"
# Whereto the forms of log-in elsewhere are redirected.
ELSEWHERE = {"github": "https://github.com", "google": "https://accounts.google.com"}


class AccountPagesMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        elsewhere = [ELSEWHERE[name] for name in settings.SOCIALACCOUNT_PROVIDERS]
        self.policy = strict_policy(forms=elsewhere)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith(PREFIX):
            response.headers["Content-Security-Policy"] = self.policy
            response.headers["Cache-Control"] = "private, no-store"
        return response
