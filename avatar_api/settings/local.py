"""A laptop or the demo: embedded services unless the environment names real ones."""

from avatar_api.embedded import Postgres, Valkey
from avatar_api.settings.base import *  # noqa: F403
from avatar_api.settings.base import STATE_DIR, STORAGES, database, env, redis_cache, rq_queues

DEBUG = False
DEMO_SIGN_IN = True
SPEECH_ENGINE = env.str("SPEECH_ENGINE", "espeak")
# Mail lies in files, whose folder `make run` names.
if not env.str("EMAIL_URL", ""):
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
SECRET_KEY = env.str("SECRET_KEY", "local-only-and-never-in-production-0123456789abcdef")
SALT_KEY = env.str("SALT_KEY", "local-only-salt")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
DATABASE_URL = env.str("DATABASE_URL", Postgres(STATE_DIR / "postgres").url)
REDIS_URL = env.str("REDIS_URL", Valkey(STATE_DIR / "valkey").url)
DATABASES = {"default": database(DATABASE_URL, connect_timeout=5)}
RQ_QUEUES = rq_queues(REDIS_URL)
# Browsers count http://localhost as safe, too.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
CACHES = redis_cache(REDIS_URL)

# Static files are served from the packages that bring them, without collecting them first.
STORAGES = STORAGES | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
