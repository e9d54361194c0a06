"""Whether somebody who was let in may stay: for answers that last, such as event streams."""

from importlib import import_module

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest
from django.http.cookie import parse_cookie

from accounts.authentication import find_key, presented_key, tenant_of_key, tenant_of_person
from accounts.client_address import client_address, is_allowed
from accounts.models import User
from accounts.tenant import Tenant
from avatar_api.common.problems import Problem


def tenant_of(request: HttpRequest) -> Tenant | None:
    """For whom a request acts now; None when its key or session, its address or its organization won't do."""
    try:
        tenant = _tenant_of(request)
    except Problem:
        return None
    return None if tenant is None or tenant.organization.is_suspended else tenant


def _tenant_of(request: HttpRequest) -> Tenant | None:
    text = presented_key(request)
    if text is None:
        user = person_of(request)
        return tenant_of_person(user, request) if user else None
    tenant = tenant_of_key(find_key(text))
    assert tenant.api_key is not None
    return tenant if is_allowed(client_address(request), tenant.api_key.allowed_ips) else None


def person_of(request: HttpRequest) -> User | None:
    """The person whose session the cookie names, if it still holds."""
    cookies = parse_cookie(request.META.get("HTTP_COOKIE", ""))
    session_key = cookies.get(settings.SESSION_COOKIE_NAME)
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = auth.get_user(request)
    return user if isinstance(user, User) else None
