"""Ending a person's sessions, wherever they are.

A session holds a hash of what `User.get_session_auth_hash` is made of, and ends when that changes: a new
password, or a new `session_epoch`. It is compared at each request and each keep-alive of a stream.
"""

import secrets
from typing import Any

from allauth.account.signals import password_changed, password_reset, password_set
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.usersessions.models import UserSession
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest

from accounts.models import User

CHANGES_OF_CREDENTIALS = (
    password_changed,
    password_reset,
    password_set,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
)


def end_sessions(user: User, keep: HttpRequest | None = None) -> None:
    """End all sessions of the person but that of the request to keep, if it is the person's."""
    user.session_epoch = secrets.token_urlsafe(12)
    user.save(update_fields=["session_epoch"])
    rows = UserSession.objects.filter(user=user)
    if keep is not None and keep.user.pk == user.pk:
        update_session_auth_hash(keep, user)
        UserSession.objects.create_from_request(keep)
        rows = rows.exclude(session_key=keep.session.session_key)
    for row in rows:
        row.end()


def connect() -> None:
    for signal in CHANGES_OF_CREDENTIALS:
        signal.connect(end_other_sessions, dispatch_uid="accounts.sessions")


def end_other_sessions(sender: Any, request: HttpRequest, user: User, **details: Any) -> None:
    end_sessions(user, keep=request)
