"""A production, as another process meets it."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

# All that docs/DEPLOYMENT.md demands, and nothing else.
COMPLETE = {
    "DJANGO_SETTINGS_MODULE": "avatar_api.settings.production",
    "SECRET_KEY": "TkZbX2vPq7LrWm4sHn9dYc3fGj6aUe8iKo1xVb5zQtRwSyEh0M",
    "SALT_KEY": "p0OiUy7TrEwQa2SdFgHj4KlZxCv6BnM8kJhGf3DsA1qWeR5tYu",
    "PUBLIC_URL": "https://api.example.com",
    "ALLOWED_HOSTS": "api.example.com",
    "TRUSTED_PROXY_HOPS": "1",
    "DATABASE_URL": "postgresql://avatar:secret@db.example.com/avatar",
    "REDIS_URL": "rediss://control:secret@redis.example.com:6379/0",
    "EMAIL_URL": "submission://avatar:secret@smtp.example.com",
    "R2_BUCKET": "avatar",
    "R2_ACCOUNT_ID": "account",
    "R2_ACCESS_KEY_ID": "key",
    "R2_SECRET_ACCESS_KEY": "secret",
}


def run(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, in this environment and no other."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
