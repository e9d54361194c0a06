"""The test suite: real Postgres and Valkey, files in a folder that conftest replaces for each test."""

import os
import re

from avatar_api.settings.base import *  # noqa: F403
from avatar_api.settings.base import STATE_DIR, STORAGES, database, redis_cache, rq_queues
from gpu_worker.common.object_store import folder_backend

DEBUG = False
SECRET_KEY = "test-only"  # noqa: S105
SALT_KEY = "test-only"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
DATABASE_URL = os.environ.get("DATABASE_URL", "postgresql:///avatar")
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Each parallel test process has a Redis database of its own, as pytest-django gives it one of Postgres.
    REDIS_URL = re.sub(r"\d+$", str(1 + int(worker.removeprefix("gw"))), REDIS_URL)
# Threads of tests come and go: their connections end with the request that they are for.
DATABASES = {"default": database(DATABASE_URL) | {"CONN_MAX_AGE": 0}}
RQ_QUEUES = rq_queues(REDIS_URL)
CACHES = redis_cache(REDIS_URL)
STORAGES = STORAGES | {
    "default": folder_backend(STATE_DIR / "test-store"),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

SPEECH_ENGINE = "espeak"

RUNPOD_ENDPOINT_ID = ""  # Tests wake nobody's workers, wherever they run.

FORECAST_SECONDS = 0.0  # Tests change what is forecast from one line to the next.

WHITENOISE_AUTOREFRESH = True  # Nothing is collected for tests.
