"""The audit log: who changed what, when and from where. Entries are django-auditlog's."""

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.db.models.signals import pre_save
from django.http import HttpRequest, HttpResponse

from accounts.client_address import client_address
from accounts.models import ApiKey, Invitation, Membership, Organization, Plan, User
from accounts.tenant import Tenant
from avatar_api.common.request_id import request_id

current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)


class AuditMiddleware:
    """Remembers the request while it lasts, so that changes can be put down to it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = current_request.set(request)
        try:
            return self.get_response(request)
        finally:
            current_request.reset(token)


# What the log leaves out: a use is no change, and a digest is nobody's to read.
DIGESTS = {"secret_sha256", "token_sha256"}
NOT_LOGGED = DIGESTS | {"last_login", "session_epoch", "sent_at", "last_used_at", "last_used_ip"}
HIDDEN = "accounts.audit.hide"


def register() -> None:
    """Has every change of these models logged."""
    for model in (User, Organization, Membership, Invitation, Plan, ApiKey):
        columns = [field.name for field in model._meta.concrete_fields if field.name not in NOT_LOGGED]
        masked = [name for name in columns if name == "password"]
        auditlog.register(model, include_fields=columns, mask_fields=masked, mask_callable=HIDDEN)
    pre_save.connect(record_origin, sender=LogEntry, dispatch_uid="accounts.audit")


def hide(value: str) -> str:
    """What stands in the log for a password: only that it changed."""
    return "hidden"


def record_origin(sender: type[LogEntry], instance: LogEntry, **signal: Any) -> None:
    """Puts down the person, the key or the command, and the address, behind a change."""
    request = current_request.get()
    if request is None:
        instance.additional_data = {"command": " ".join(sys.argv[1:2])}
        return
    address = client_address(request)
    instance.remote_addr = str(address) if address else None
    instance.cid = request_id.get()
    if request.user.is_authenticated:
        instance.actor, instance.actor_email = request.user, request.user.email
    tenant = getattr(request, "auth", None)
    if isinstance(tenant, Tenant) and tenant.api_key is not None:
        instance.additional_data = {"api_key": tenant.api_key.pk}
