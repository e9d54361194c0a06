"""The admin of accounts: operators' pages, and what staff of an organization sees of its own."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from auditlog.models import LogEntry
from django.contrib import admin
from django.contrib.auth.models import Group
from django_otp.plugins.otp_totp.models import TOTPDevice

# Pages of packages that ours replace, or that have no meaning here: roles are memberships.
for model in (Group, LogEntry, TOTPDevice, EmailAddress, Authenticator, UserSession):
    admin.site.unregister(model)

from accounts.admin import api_keys, audit_log, organizations, people  # noqa: E402

__all__ = ["api_keys", "audit_log", "organizations", "people"]
