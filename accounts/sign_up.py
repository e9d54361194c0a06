"""What sign-up takes beside e-mail and password, and what it makes: an organization with its owner."""

from typing import Any

from django import forms
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils.module_loading import import_string

from accounts.models import Membership, Organization, User
from accounts.scopes import Role
from accounts.services import create_organization


class SignUpForm(forms.Form):
    """Added by allauth to its own form."""

    organization = forms.CharField(max_length=100, label="Organization", help_text="Of yours, or your name.")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if settings.SIGN_UP_CAPTCHA_FIELD:
            self.fields["captcha"] = import_string(settings.SIGN_UP_CAPTCHA_FIELD)()

    def clean_organization(self) -> str:
        name: str = self.cleaned_data["organization"].strip()
        if Organization.objects.filter(name=name).exists():
            raise forms.ValidationError("An organization has this name already: choose another.")
        return name

    @transaction.atomic
    def signup(self, request: HttpRequest, user: User) -> None:
        organization = create_organization(name=self.cleaned_data["organization"], plan=settings.SIGN_UP_PLAN)
        Membership.objects.create(organization=organization, user=user, role=Role.OWNER)
        if settings.SIGN_UP == "approval":
            user.is_active = False  # Until an operator sets it in the admin.
            user.save(update_fields=["is_active"])
