"""Who sends a large body: looked up before the body is received, by what its headers show."""

from importlib import import_module

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest
from django.http.cookie import parse_cookie

from accounts.authentication import find_key, presented_key
from avatar_api.common.problems import Problem


def uploader_of(request: HttpRequest) -> str | None:
    """The key or the person behind a request, or None: the request itself will then be refused."""
    try:
        if (text := presented_key(request)) is not None:
            return find_key(text).pk
    except Problem:
        return None
    return _person(request)


def _person(request: HttpRequest) -> str | None:
    session_key = parse_cookie(request.META.get("HTTP_COOKIE", "")).get(settings.SESSION_COOKIE_NAME)
    if not session_key:
        return None
    store = import_module(settings.SESSION_ENGINE).SessionStore
    return store(session_key).get(SESSION_KEY)
