"""The one door for people: what of allauth is ours. Its pages, forms and tables are the library's.

Passwords are throttled before they are looked at, in Redis, with the limiter of the API.
"""

import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.http import HttpRequest
from django.template.loader import render_to_string

from accounts import rate_limits, sign_up
from accounts.client_address import client_address, throttled_as

log = logging.getLogger(__name__)

ATTEMPTS_PER_MINUTE = 5
ATTEMPTS_PER_MINUTE_AND_ADDRESS = 20
ATTEMPTS_PER_MINUTE_AND_ACCOUNT = 30
"""From all addresses together. Far more than a person needs, so that a stranger hardly locks anybody out."""


class Door(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "too_many_login_attempts": "Too many attempts. Wait a minute, then try again.",
    }

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        address = throttled_as(client_address(request))
        email = str(credentials.get("email", "")).strip().lower()
        limits = (
            (ATTEMPTS_PER_MINUTE_AND_ADDRESS, address),
            (ATTEMPTS_PER_MINUTE, f"{address} {email}"),
            (ATTEMPTS_PER_MINUTE_AND_ACCOUNT, f"account {email}"),
        )
        if not all(rate_limits.hit("log-in", limit, subject).allowed for limit, subject in limits):
            raise self.validation_error("too_many_login_attempts")

    def get_client_ip(self, request: HttpRequest) -> str:
        """`::` where it can't be known."""
        return str(client_address(request) or "::")

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return sign_up.is_open(request)

    def is_email_verified(self, request: HttpRequest, email: str) -> bool:
        """The link of an invitation came by mail to its address."""
        invitation = sign_up.invitation_of(request)
        invited = invitation is not None and invitation.email == email.lower()
        return invited or super().is_email_verified(request, email)

    def send_notification_mail(self, *args: Any, **options: Any) -> None:
        """What has been done is done, whether or not the mail that says so gets out."""
        try:
            super().send_notification_mail(*args, **options)
        except (OSError, SMTPException) as error:
            log.warning("a notification by mail couldn't be sent: %s", type(error).__name__)

    def render_mail(
        self,
        template_prefix: str,
        email: str | list[str],
        context: dict[str, Any],
        headers: dict[str, str] | None = None,
    ) -> EmailMessage:
        """Each mail as text, and the same in HTML."""
        message = super().render_mail(template_prefix, email, context, headers)
        if isinstance(message, EmailMultiAlternatives) and not message.alternatives:
            shown = {"subject": message.subject, "text": message.body}
            message.attach_alternative(render_to_string("mail/message.html", shown), "text/html")
        return message


class SocialDoor(DefaultSocialAccountAdapter):
    """Whoever comes by GitHub or Google enters by the verified address, and signs up where anybody may."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return Door(request).is_open_for_signup(request)
