"""Django settings with nothing but STORAGES, so that django-storages works in the render worker.

The worker holds credentials of Redis and of the object store, never of the database.
"""

from pathlib import Path

from environs import FileAwareEnv

from gpu_worker.common.object_store import RENDERING, storage_backend

env = FileAwareEnv(strip_whitespace=True)

SECRET_KEY = "the render worker signs nothing"  # noqa: S105
TIME_ZONE = "UTC"
USE_TZ = True
REDIS_URL = env.str("REDIS_URL", "redis://127.0.0.1:6379/0")
STORAGES = {
    "default": storage_backend(env, Path(__file__).resolve().parents[1] / ".avatar" / "store", RENDERING)
}
