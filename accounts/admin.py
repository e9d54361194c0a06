"""The admin of accounts."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from accounts.models import ApiKey, Membership, Organization, Plan, User


@admin.register(User, Organization, Membership, Plan, ApiKey)
class AccountsAdmin(ModelAdmin):
    """Every object of an organization's accounts, for operators."""
