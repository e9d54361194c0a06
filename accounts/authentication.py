"""Who asks: a key in the header, or a person with a session. DRF's adapters."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from accounts import api_keys, key_lookup
from accounts.choice import choice_of
from accounts.limits import effective_limits
from accounts.models import ApiKey, User
from accounts.scopes import ROLE_SCOPES, with_included
from accounts.tenant import Tenant
from avatar_api.common.problems import Problem

CHALLENGE = {"WWW-Authenticate": "Bearer"}


def unauthorized(code: str, detail: str = "") -> Problem:
    return Problem(code, detail, headers=CHALLENGE)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>` or `X-API-Key: <key>`; where both come, Authorization decides."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Tenant] | None:
        text = presented_key(request)
        if text is None:
            return None
        return AnonymousUser(), tenant_of_key(find_key(text))

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE["WWW-Authenticate"]


def presented_key(request: Request | HttpRequest) -> str | None:
    """What the headers offer as a key, or None when they offer nothing."""
    authorization = request.headers.get("Authorization")
    if authorization is None:
        return request.headers.get("X-API-Key")
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized("invalid_api_key", "Send the key as `Authorization: Bearer <key>`.")
    return text.strip()


def find_key(text: str) -> ApiKey:
    """The active key of this text.

    Whether a key was revoked or has expired is told only to who knows its secret.

    Raises:
        Problem: `invalid_api_key`, `api_key_revoked` or `api_key_expired`.
    """
    try:
        parsed = api_keys.parse(text)
    except api_keys.MalformedKeyError:
        raise unauthorized("invalid_api_key") from None
    api_key = key_lookup.find(parsed.id, livemode=parsed.livemode)
    if api_key is None or not api_keys.verify(parsed, api_key.secret_sha256):
        raise unauthorized("invalid_api_key")
    if (state := api_key.state()) != ApiKey.State.ACTIVE:
        raise unauthorized(f"api_key_{state.value}")
    return api_key


def tenant_of_key(api_key: ApiKey) -> Tenant:
    return Tenant(
        organization=api_key.organization,
        livemode=api_key.livemode,
        scopes=with_included(api_key.scopes),
        limits=effective_limits(api_key.organization, api_key),
        api_key=api_key,
    )


class PersonAuthentication(SessionAuthentication):
    """A person's session, with CSRF enforced; see `accounts.choice` for what is seen."""

    def authenticate(self, request: Request) -> tuple[User, Tenant] | None:
        found: Any = super().authenticate(request)
        if found is None:
            return None
        user: User = found[0]
        return user, tenant_of_person(user, request._request)


def tenant_of_person(user: User, request: HttpRequest) -> Tenant:
    choice = choice_of(user, request)
    membership, livemode = choice.membership, choice.livemode
    return Tenant(
        organization=membership.organization,
        livemode=livemode,
        scopes=ROLE_SCOPES[membership.role],
        limits=effective_limits(membership.organization, livemode=livemode),
        user=user,
        role=membership.role,
    )
