"""Production: every secret and address comes from the environment, and none has a default."""

from avatar_api.settings.base import *  # noqa: F403
from avatar_api.settings.base import LOG_LEVEL, database, env, redis_cache, rq_queues
from avatar_api.settings.logs import logging_config

PRODUCTION = True
STAFF_SECOND_FACTOR = env.bool("STAFF_SECOND_FACTOR", True)
DEBUG = False
SECRET_KEY = env.str("SECRET_KEY")
# Together with SECRET_KEY it makes the key that encrypts webhook secrets and addresses in the database.
SALT_KEY = env.str("SALT_KEY")
PUBLIC_URL = env.str("PUBLIC_URL").rstrip("/")
# By its own address the container is asked whether it is healthy; links are built from PUBLIC_URL alone.
ALLOWED_HOSTS = [*env.list("ALLOWED_HOSTS"), "127.0.0.1"]
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
DATABASE_URL = env.str("DATABASE_URL")
REDIS_URL = env.str("REDIS_URL")
DATABASES = {"default": database(DATABASE_URL, connect_timeout=5)}
RQ_QUEUES = rq_queues(REDIS_URL)
CACHES = redis_cache(REDIS_URL)

LOGGING = logging_config(level=LOG_LEVEL, style=env.str("LOG_STYLE", "json"))

# The prefix makes browsers refuse them from anywhere but this very host, over TLS.
SESSION_COOKIE_NAME = "__Host-sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", True)
# Asked from inside, where no proxy speaks TLS.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", 31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
