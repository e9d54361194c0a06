"""Inviting people by mail: made, sent again, revoked, accepted. Each verb owns its transaction.

An invitation is for one address. Whoever accepts it is logged in with that address verified, which the link
by itself doesn't prove. Once it is accepted or revoked its row is gone.
"""

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.db import transaction
from django.utils import timezone

from accounts.models import Invitation, Membership, Organization, User
from avatar_api.common.ids import id_pattern

INVITATION_ID = id_pattern("inv")
VALID_FOR = timedelta(days=7)
MAX_OPEN = 100

Link = Callable[[str], str]
"""Makes the address of the page on which an invitation is accepted, from its token."""


class AlreadyMemberError(Exception):
    """The address is that of a member."""


class AlreadyInvitedError(Exception):
    """There is an open invitation for the address."""


class TooManyInvitationsError(Exception):
    """The organization has as many open invitations as it may."""


class MailNotSentError(Exception):
    """The mail server refuses the mail or is away, and nothing has changed."""


class NotInvitedError(Exception):
    """There is no such invitation, or none any more, or it is somebody else's."""


@transaction.atomic
def invite(*, organization: Organization, email: str, role: str, invited_by: User, link: Link) -> Invitation:
    """Make an invitation and mail it; one for the same address that has expired goes.

    Raises:
        AlreadyMemberError: The address is a member's.
        AlreadyInvitedError: It can be sent again instead.
        TooManyInvitationsError: Others have to be accepted or revoked first.
        MailNotSentError: Try again later.
    """
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if organization.memberships.filter(user__email=email).exists():
        raise AlreadyMemberError
    organization.invitations.filter(expires_at__lte=timezone.now()).delete()
    if organization.invitations.filter(email=email).exists():
        raise AlreadyInvitedError
    if organization.invitations.count() >= MAX_OPEN:
        raise TooManyInvitationsError
    invitation = Invitation(organization=organization, email=email, role=role, invited_by=invited_by)
    _send(invitation, link)
    return invitation


@transaction.atomic
def resend(invitation: Invitation, link: Link) -> Invitation:
    """Mail a new link, which takes the place of the one before and lasts as long again.

    Raises:
        MailNotSentError: The link before goes on working.
    """
    locked = Invitation.objects.select_for_update().get(pk=invitation.pk)
    _send(locked, link)
    return locked


@transaction.atomic
def revoke(invitation: Invitation) -> None:
    invitation.delete()


def find_sent(organization: Organization, invitation_id: str) -> Invitation | None:
    """One of its invitations; none for an id of nonsense."""
    known = re.fullmatch(INVITATION_ID, invitation_id)
    return organization.invitations.filter(pk=invitation_id if known else "").first()


def find(token: str) -> Invitation:
    """Raises: NotInvitedError: the token is no open invitation's."""
    rows = Invitation.objects.select_related("organization", "invited_by")
    found = rows.filter(token_sha256=_digest(token), expires_at__gt=timezone.now()).first()
    if found is None:
        raise NotInvitedError
    return found


@transaction.atomic
def accept(token: str, user: User) -> Membership:
    """Make the person a member; who is one already keeps their role.

    Raises:
        NotInvitedError: The invitation is not open, or for another address.
    """
    Invitation.objects.select_for_update().filter(token_sha256=_digest(token)).first()
    invitation = find(token)
    verified = EmailAddress.objects.filter(user=user, email=invitation.email, verified=True)
    if user.email != invitation.email or not verified.exists():
        raise NotInvitedError
    membership, _ = Membership.objects.get_or_create(
        organization=invitation.organization, user=user, defaults={"role": invitation.role}
    )
    invitation.delete()
    return membership


def _send(invitation: Invitation, link: Link) -> None:
    token, now = secrets.token_urlsafe(24), timezone.now()
    invitation.token_sha256 = _digest(token)
    invitation.sent_at, invitation.expires_at = now, now + VALID_FOR
    invitation.save()
    address = link(token)
    context = {
        "invitation": invitation,
        "link": address,
        "current_site": {"domain": urlsplit(address).netloc},
    }
    message = get_adapter().render_mail("accounts/email/invitation", invitation.email, context)
    try:
        message.send()
    except OSError as error:
        raise MailNotSentError from error


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
