"""The base of every view that acts for a tenant: authenticate, throttle, authorise."""

from operator import attrgetter
from typing import Any, ClassVar

from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import last_use, rate_limits
from accounts.authentication import ApiKeyAuthentication, PersonAuthentication
from accounts.client_address import client_address, is_allowed
from accounts.negotiation import PersonOrProgram
from accounts.rate_limits import RateLimitState
from accounts.tenant import Tenant
from avatar_api.common.problems import Problem
from avatar_api.common.strict_json import StrictJSONParser
from gpu_worker.common import logs

__all__ = ["Tenant", "TenantView"]


class TenantView(APIView):
    """A view of the API; handlers find on whose behalf they act in `self.tenant`.

    The order is: who asks (401) and from where (403), how often (429), which form the answer takes (406),
    whether at all and with which scope (403). The rate is counted before anything else can refuse, so
    that every answer to a key that is good carries the rate limit's headers; a key that was stolen, and
    used from where its allow-list doesn't reach, can't use up the owner's.

    Attributes:
        required_scope: By method, the scope that a key or role needs; None: any valid key will do.
        for_people: Whether it is for people in a session alone.
        throttle_policy: By method, the rate limit that counts; POST is `create`, the rest `read`.
    """

    required_scope: ClassVar[dict[str, str | None]]
    for_people: ClassVar[bool] = False
    throttle_policy: ClassVar[dict[str, str]] = {}

    authentication_classes = [ApiKeyAuthentication, PersonAuthentication]
    content_negotiation_class: type[DefaultContentNegotiation] = PersonOrProgram
    parser_classes = [StrictJSONParser]
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    rate_limit: RateLimitState | None = None

    @property
    def tenant(self) -> Tenant:
        tenant = self.request.auth
        assert isinstance(tenant, Tenant)
        return tenant

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.authenticate(request)
        super().initial(request, *args, **kwargs)

    def authenticate(self, request: Request) -> None:
        if request.auth is None:
            raise exceptions.NotAuthenticated
        logs.bind(organization=self.tenant.organization.pk)
        api_key = self.tenant.api_key
        if api_key is not None and not is_allowed(client_address(request), api_key.allowed_ips):
            raise Problem("ip_not_allowed")
        self.count(request)

    def count(self, request: Request) -> None:
        """Counts the request against the rate limit of its policy, and against that of its organization.

        All keys and people of an organization share the rate of its plan in a mode, so that more keys don't
        mean more requests; a key that was given a higher rate of its own may use that alone.
        """
        method = str(request.method)
        policy = self.throttle_policy.get(method, "create" if method == "POST" else "read")
        limit = getattr(self.tenant.limits, f"{policy}_per_minute")
        self.rate_limit = rate_limits.hit(policy, limit, self.tenant.rate_limit_subject)
        if self.rate_limit.allowed and self.rate_limit.remaining is not None:
            shared = max(limit, getattr(self.tenant.organization_limits, f"{policy}_per_minute"))
            together = rate_limits.hit(policy, shared, self.tenant.organization_subject)
            self.rate_limit = min(self.rate_limit, together, key=attrgetter("allowed", "remaining"))
        if not self.rate_limit.allowed:
            wait = self.rate_limit.reset_seconds
            raise Problem("rate_limited", f"Try again in {wait} s.", headers={"Retry-After": str(wait)})

    def check_permissions(self, request: Request) -> None:
        """Also asked by the browsable API, which shows the forms of what a person may do."""
        if self.tenant.organization.is_suspended:
            raise Problem("organization_suspended")
        self.check_scope(str(request.method))

    def check_scope(self, method: str) -> None:
        """A method that the view doesn't offer needs no scope: its answer is 405."""
        if method not in self.allowed_methods:
            return
        scope = self.required_scope["GET" if method == "HEAD" else method]
        if scope is not None and scope not in self.tenant.scopes:
            raise Problem("permission_denied", f"The scope {scope} is missing.")

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in (self.rate_limit.headers if self.rate_limit else {}).items():
            response.headers[name] = value
        if self.rate_limit and self.tenant.api_key is not None:
            last_use.record_after(response, self.tenant.api_key, client_address(request))
        response.headers["Cache-Control"] = (
            "private, no-cache" if response.has_header("ETag") else "private, no-store"
        )
        return response
