"""Second factors: how their secrets are kept, and who needs one."""

from functools import cache

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.utils import is_mfa_enabled
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from encrypted_fields.fields import EncryptedTextField

from accounts.models import User


@cache
def cipher() -> Fernet | MultiFernet:
    """That of encrypted columns: by SECRET_KEY and SALT_KEY."""
    return EncryptedTextField().f


class SecondFactorAdapter(DefaultMFAAdapter):
    def encrypt(self, text: str) -> str:
        return cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return cipher().decrypt(encrypted_text.encode()).decode()


def is_missing(user: User | AnonymousUser) -> bool:
    """Whether the person has to set up a second factor before they may enter the admin."""
    return settings.STAFF_SECOND_FACTOR and not is_mfa_enabled(user)
