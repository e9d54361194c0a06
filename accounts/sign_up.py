"""What sign-up takes beside e-mail and password, and what it makes: an organization with its owner."""

from typing import Any

from allauth.core import context
from django import forms
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils.module_loading import import_string

from accounts import invitations
from accounts.models import Invitation, Membership, Organization, User
from accounts.scopes import Role
from accounts.services import create_organization

INVITATION = "invitation"
"""The key in the session under which the token of an invitation lies that the browser has opened."""


def remember_invitation(request: HttpRequest, token: str) -> None:
    request.session[INVITATION] = token


def invitation_of(request: HttpRequest) -> Invitation | None:
    """The open invitation with which the browser came."""
    try:
        return invitations.find(request.session.get(INVITATION, ""))
    except invitations.NotInvitedError:
        return None


def is_open(request: HttpRequest) -> bool:
    if settings.SIGN_UP == "closed":
        return False
    return settings.SIGN_UP != "invitation" or invitation_of(request) is not None


class SignUpForm(forms.Form):
    """Added by allauth to its own form. Whoever is invited needs no organization and no approval."""

    organization = forms.CharField(max_length=100, label="Organization", help_text="Of yours, or your name.")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.invitation = invitation_of(context.request)
        if self.invitation:
            del self.fields["organization"]
            self.initial["email"] = self.invitation.email
        if settings.SIGN_UP_CAPTCHA_FIELD:
            self.fields["captcha"] = import_string(settings.SIGN_UP_CAPTCHA_FIELD)()

    def clean_organization(self) -> str:
        name: str = self.cleaned_data["organization"].strip()
        if Organization.objects.filter(name=name).exists():
            raise forms.ValidationError("An organization has this name already: choose another.")
        return name

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.invitation and (cleaned or {}).get("email", "").lower() != self.invitation.email:
            self.add_error("email", f"The invitation is for {self.invitation.email}.")
        return cleaned

    @transaction.atomic
    def signup(self, request: HttpRequest, user: User) -> None:
        if self.invitation:
            return  # They come back to the invitation, and accept it.
        organization = create_organization(name=self.cleaned_data["organization"], plan=settings.SIGN_UP_PLAN)
        Membership.objects.create(organization=organization, user=user, role=Role.OWNER)
        if settings.SIGN_UP == "approval":
            user.is_active = False  # Until an operator sets it in the admin.
            user.save(update_fields=["is_active"])
