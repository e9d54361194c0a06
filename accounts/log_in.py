"""How people log in: e-mail, password, and a second factor for those who have set one up."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django_otp import devices_for_user
from unfold.forms import AuthenticationForm as UnfoldAuthenticationForm
from unfold.widgets import BASE_INPUT_CLASSES

from accounts import rate_limits
from accounts.client_address import client_address

ATTEMPTS_PER_MINUTE = 5
ATTEMPTS_PER_MINUTE_AND_ADDRESS = 20


class StaffLogInForm(UnfoldAuthenticationForm):
    """The admin's log-in.

    It is throttled before the password is looked at, by address, and by address and e-mail together. Not
    by e-mail alone, or a stranger could lock anybody out.
    """

    error_messages = UnfoldAuthenticationForm.error_messages | {
        "throttled": "Too many attempts. Wait a minute, then try again.",
        "invalid_token": "The code is not valid. Enter the current code from your authenticator app.",
    }

    otp_token = forms.CharField(
        required=False,
        label="Authentication code",
        help_text="Only if you have set up a second factor.",
        widget=forms.TextInput(
            {"autocomplete": "one-time-code", "inputmode": "numeric", "class": " ".join(BASE_INPUT_CLASSES)}
        ),
    )

    def clean(self) -> dict[str, Any]:
        self.throttle()
        cleaned: dict[str, Any] = super().clean()
        user = self.get_user()
        if user is not None and not second_factor_fits(user, cleaned.get("otp_token", "")):
            raise forms.ValidationError(self.error_messages["invalid_token"], code="invalid_token")
        return cleaned

    def throttle(self) -> None:
        address = str(client_address(self.request))
        email = self.cleaned_data.get("username", "").strip().lower()
        by_address = rate_limits.hit("log-in", ATTEMPTS_PER_MINUTE_AND_ADDRESS, address)
        by_both = rate_limits.hit("log-in", ATTEMPTS_PER_MINUTE, f"{address} {email}")
        if not (by_address.allowed and by_both.allowed):
            raise forms.ValidationError(self.error_messages["throttled"], code="throttled")


class LogInForm(StaffLogInForm):
    """The browsable API's, for everybody."""

    def confirm_login_allowed(self, user: Any) -> None:
        AuthenticationForm.confirm_login_allowed(self, user)


@transaction.atomic
def second_factor_fits(user: AbstractBaseUser, token: str) -> bool:
    """Whether the person has no second factor, or the code is right.

    The device is locked meanwhile, so that a code works once, and slows down after wrong codes.
    """
    devices = list(devices_for_user(user, for_verify=True))
    return not devices or any(device.verify_token(token) for device in devices)
