"""Removing an organization and its people, with every trace in the audit log.

What belongs to it elsewhere, such as jobs, has to be gone before.
"""

from collections import Counter
from collections.abc import Iterable
from importlib import import_module

from auditlog.context import disable_auditlog
from auditlog.models import LogEntry
from django.conf import settings
from django.contrib.admin.models import LogEntry as AdminLogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Model, Q, QuerySet, TextField
from django.db.models.functions import Cast

from accounts.models import ApiKey, Invitation, Membership, Organization, User
from avatar_api.common.chunks import by_pk

OBJECTS = (Organization, ApiKey, Membership, Invitation)


def people_of(organization: Organization) -> QuerySet[User]:
    """Those who belong to it and to no other; operators stay, since they belong to the deployment."""
    elsewhere = Membership.objects.exclude(organization=organization).values("user")
    members = User.objects.filter(memberships__organization=organization, is_superuser=False)
    return members.exclude(pk__in=elsewhere)


def marks_of(organization: Organization) -> list[str]:
    """What would show in any row or name that this is about the organization: ids, and people's addresses."""
    keys = organization.api_keys.values_list("pk", flat=True)
    invited = organization.invitations.exclude(email__in=User.objects.values("email"))
    addresses = people_of(organization).values_list("email", flat=True)
    return [organization.pk, *keys, *addresses, *invited.values_list("email", flat=True)]


@transaction.atomic
def erase(organization: Organization) -> Counter[str]:
    """Remove it, and say how many rows went, by model.

    Raises:
        ProtectedError: Something of it is still there.
    """
    # Whoever is about to add something to it waits here, and then finds it gone.
    Organization.objects.select_for_update().get(pk=organization.pk)
    people = list(people_of(organization))
    gone: Counter[str] = Counter()
    with disable_auditlog():
        gone["audit log entries"] = _erase_audit_entries(organization, people)
        gone["admin log entries"] = _erase_admin_entries(organization, people)
        gone["sessions"] = _end_sessions({str(person.pk) for person in people})
        gone.update(organization.delete()[1])
        gone.update(User.objects.filter(pk__in=[person.pk for person in people]).delete()[1])
    return gone


def _erase_audit_entries(organization: Organization, people: list[User]) -> int:
    """Entries about its objects, those that were deleted before included, and about its people."""
    LogEntry.objects.filter(actor__in=people).update(actor_email=None)
    entries = LogEntry.objects.annotate(changed=Cast("changes", TextField()))
    types = {model: ContentType.objects.get_for_model(model) for model in OBJECTS}
    about = Q(content_type=types[Organization], object_pk=organization.pk)
    for model in (ApiKey, Membership, Invitation):
        # An object's first and last entry hold its organization; those between name the object alone.
        made_here = Q(content_type=types[model], changed__contains=f'"{organization.pk}"')
        about |= Q(content_type=types[model], object_pk__in=entries.filter(made_here).values("object_pk"))
        about |= _names(model, model._default_manager.filter(organization=organization), "object_pk")
    about |= _names(User, people, "object_pk")
    return LogEntry.objects.filter(about).delete()[0]


def _erase_admin_entries(organization: Organization, people: list[User]) -> int:
    objects: list[Iterable[Model]] = [[organization], organization.api_keys.all(), people]
    objects += [organization.memberships.all(), organization.invitations.all()]
    about = Q(user__in=people)
    for model, rows in zip((Organization, ApiKey, User, Membership, Invitation), objects, strict=True):
        about |= _names(model, rows, "object_id")
    return AdminLogEntry.objects.filter(about).delete()[0]


def _names(model: type[Model], rows: Iterable[Model], field: str) -> Q:
    """Log entries about these rows."""
    keys = [str(row.pk) for row in rows]
    return Q(content_type=ContentType.objects.get_for_model(model), **{f"{field}__in": keys})


def _end_sessions(people: set[str]) -> int:
    """Sessions say in an opaque text alone whose they are, so each is read."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    theirs = [
        session.pk
        for session in by_pk(Session.objects.all())
        if store().decode(session.session_data).get("_auth_user_id") in people
    ]
    return Session.objects.filter(pk__in=theirs).delete()[0]
