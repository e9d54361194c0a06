from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts import audit, checks, sessions
        from avatar_api.common import checks as deployment_checks

        # Importing them is what registers them.
        assert checks
        assert deployment_checks
        audit.register()
        sessions.connect()


class AvatarAdminConfig(admin_apps.AdminConfig):
    """Django's admin with our site, whose rule of who sees what is in `accounts.admin_scope`."""

    default = False  # "accounts" means the configuration above
    default_site = "accounts.admin_scope.AvatarAdminSite"
