"""What every environment shares. Nothing here is a secret and nothing has an unsafe default."""

from pathlib import Path

from django.templatetags.static import static
from django.urls import reverse_lazy
from environs import FileAwareEnv
from marshmallow.validate import OneOf

from avatar_api.settings.logs import logging_config
from gpu_worker.common.object_store import storage_backend
from gpu_worker.contract.lanes import LANES
from gpu_worker.contract.queues import REPORTS

BASE_DIR = Path(__file__).resolve().parents[2]
STATE_DIR = BASE_DIR / ".avatar"

# Each variable may also be given as NAME_FILE, the path of a file that holds the value; editors and `echo`
# end it with a newline, which is no part of a secret.
env = FileAwareEnv(strip_whitespace=True)

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "accounts.apps.AvatarAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "auditlog",
    # Their tables stay for one release after second factors were carried over to allauth's.
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_rq",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "accounts",
    "jobs",
    "console",
]

MIDDLEWARE = [
    "avatar_api.common.request_id.RequestIdMiddleware",
    "avatar_api.common.observation.ObservationMiddleware",
    "avatar_api.common.security_headers.ContentSecurityPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "avatar_api.common.nul_characters.NulCharactersMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.audit.AuditMiddleware",
    "accounts.account_pages.AccountPagesMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "avatar_api.urls"
WSGI_APPLICATION = "avatar_api.wsgi.application"
APPEND_SLASH = False
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "playground"
# A button that signs a guest in without a password: local mode alone has it.
DEMO_SIGN_IN = False
CSRF_FAILURE_VIEW = "avatar_api.common.problems.csrf_failure"
AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# How people get in: django-allauth, see `accounts.door`.
ACCOUNT_ADAPTER = "accounts.door.Door"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_SIGNUP_FORM_CLASS = "accounts.sign_up.SignUpForm"
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
# Passwords are throttled by the door; what is left of "login_failed" counts codes of second factors.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": "5/m/key"}
ALLAUTH_RATE_LIMIT_IPV6_PREFIX = 64
MFA_ADAPTER = "accounts.second_factor.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Avatar API"
# Clocks may be off by half a minute, as they always might.
MFA_TOTP_TOLERANCE = 1
# Staff enter the admin with a second factor only: production asks for it.
STAFF_SECOND_FACTOR = False
# Who may make an account: nobody ("closed"), whoever is invited ("invitation"), whoever an operator lets in
# ("approval"), everybody ("open"). What they get: an organization with this plan.
SIGN_UP = env.str("SIGN_UP", "closed", validate=OneOf(["closed", "invitation", "approval", "open"]))
SIGN_UP_PLAN = env.str("SIGN_UP_PLAN", "free")
# A form field of a captcha's package for sign-up, such as `django_recaptcha.fields.ReCaptchaField`.
SIGN_UP_CAPTCHA_FIELD = env.str("SIGN_UP_CAPTCHA_FIELD", "")

# Log-in by GitHub and Google, for each of which an id and a secret are set.
SOCIAL_LOG_IN = {
    "github": (env.str("GITHUB_CLIENT_ID", ""), env.str("GITHUB_CLIENT_SECRET", "")),
    "google": (env.str("GOOGLE_CLIENT_ID", ""), env.str("GOOGLE_CLIENT_SECRET", "")),
}
SOCIALACCOUNT_PROVIDERS = {
    name: {
        "APPS": [{"client_id": client_id, "secret": secret}],
        "EMAIL_AUTHENTICATION": True,
        "SCOPE": ["user:email"] if name == "github" else ["profile", "email"],
    }
    for name, (client_id, secret) in SOCIAL_LOG_IN.items()
    if client_id
}
if SOCIALACCOUNT_PROVIDERS:
    INSTALLED_APPS += ["allauth.socialaccount"]
    INSTALLED_APPS += [f"allauth.socialaccount.providers.{name}" for name in SOCIALACCOUNT_PROVIDERS]
SOCIALACCOUNT_ADAPTER = "accounts.door.SocialDoor"
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True

# Mail: submission://user:password@host, or file:///folder for files; empty: none is sent.
EMAIL = env.dj_email_url("EMAIL_URL", "dummy://")
EMAIL_BACKEND = EMAIL["EMAIL_BACKEND"]
EMAIL_HOST = EMAIL["EMAIL_HOST"]
EMAIL_PORT = EMAIL["EMAIL_PORT"]
EMAIL_HOST_USER = EMAIL["EMAIL_HOST_USER"]
EMAIL_HOST_PASSWORD = EMAIL["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS = EMAIL["EMAIL_USE_TLS"]
EMAIL_USE_SSL = EMAIL["EMAIL_USE_SSL"]
EMAIL_FILE_PATH = f"/{EMAIL['EMAIL_FILE_PATH']}" if EMAIL["EMAIL_FILE_PATH"] else str(STATE_DIR / "mail")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("MAIL_FROM", "Avatar API <avatar@localhost>")
UNFOLD = {
    "SITE_TITLE": "Avatar API",
    "SITE_HEADER": "Avatar API",
    "SITE_SYMBOL": "record_voice_over",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("design/icon.svg")}
    ],
    "SCRIPTS": [lambda request: static("design/packages.js")],
    "DASHBOARD_CALLBACK": "jobs.admin.overview.add_to",
    "ACCOUNT": {
        "navigation": [
            {"title": "Second factor", "link": reverse_lazy("mfa_index")},
            {"title": "Sessions", "link": reverse_lazy("usersessions_list")},
        ]
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
FORMAT_MODULE_PATH = "avatar_api.formats"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "avatar_api" / "static", ("samples", BASE_DIR / "samples")]
STATIC_ROOT = env.path("STATIC_ROOT", BASE_DIR / "staticfiles")

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "avatar_api" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

STORAGES = {
    "default": storage_backend(env, STATE_DIR / "store"),
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# System checks hold a production to more than a laptop.
PRODUCTION = False

# Lets webhooks and fetches reach private addresses and speak plain http: for development alone.
OUTBOUND_ALLOW_PRIVATE = env.bool("OUTBOUND_ALLOW_PRIVATE", False)

# Proxies of ours in front of the web process, each of which appends to X-Forwarded-For.
TRUSTED_PROXY_HOPS = env.int("TRUSTED_PROXY_HOPS", 0)

# Where clients reach the deployment, such as https://api.example.com; empty: as each client writes it.
PUBLIC_URL = env.str("PUBLIC_URL", "").rstrip("/")

# What renders live jobs; test keys always get the preview.
LIVE_ENGINE = env.str("LIVE_ENGINE", "infinitetalk")

# What says texts: `espeak` (eSpeak NG, which sounds like a machine), `kokoro` (Kokoro-82M), or an entry
# point of an installed package. Empty: nothing does.
SPEECH_ENGINE = env.str("SPEECH_ENGINE", "")
# The folder of its prepared model, and the Python that has its packages; empty: this one.
SPEECH_MODEL_PATH = env.str("SPEECH_MODEL_PATH", "")
SPEECH_PYTHON = env.str("SPEECH_PYTHON", "")

# A job that has rendered for so long may be asked to yield its worker to others that wait.
YIELD_AFTER_SECONDS = env.float("YIELD_AFTER_SECONDS", 120)

# So long a forecast of a tenant's jobs serves everybody who asks for one of them.
FORECAST_SECONDS = 0.5

# The RunPod endpoint whose workers are woken when jobs wait for a GPU; without one, nobody is.
RUNPOD_ENDPOINT_ID = env.str("RUNPOD_ENDPOINT_ID", "")
RUNPOD_API_KEY = env.str("RUNPOD_API_KEY", "")
RUNPOD_BASE_URL = env.str("RUNPOD_BASE_URL", "https://api.runpod.ai").rstrip("/")
RUNPOD_MAX_WORKERS = env.int("RUNPOD_MAX_WORKERS", 5)

# Beyond so many jobs that wait, of all tenants together, new ones are refused for a while.
MAX_QUEUED_JOBS = env.int("MAX_QUEUED_JOBS", 10_000)

# How long deliveries of webhooks and the events of jobs can be looked up; the records of jobs stay.
HISTORY_DAYS = env.int("HISTORY_DAYS", 90)

# Uploads go to disk while they arrive, never to memory; the plan's own limit is checked before that.
MAX_UPLOAD_BYTES = env.int("MAX_UPLOAD_BYTES", 600 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 100
DATA_UPLOAD_MAX_NUMBER_FILES = 8
FILE_UPLOAD_HANDLERS = ["avatar_api.common.uploads.CappedTemporaryFileUploadHandler"]

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "avatar_api.common.openapi.Schema",
    "EXCEPTION_HANDLER": "avatar_api.common.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Avatar API",
    "DESCRIPTION": "Turns a portrait and speech into a talking video.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_SUFFIX": "",
    "ENUM_NAME_OVERRIDES": {
        "JobStatus": "jobs.states.Status",
        "JobErrorCode": "jobs.presenters.serializers.ERROR_CHOICES",
        "JobStage": "jobs.states.Stage",
        "DeliveryState": "jobs.models.webhooks.WebhookDelivery.State",
        "EventType": "jobs.models.webhooks.WebhookEventType",
        "Scope": "accounts.scopes.Scope",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "jobs.api.openapi.rules.add_rules",
        "jobs.api.openapi.undescribed.add_undescribed",
        "jobs.api.openapi.messages.add_messages",
        "jobs.api.openapi.examples.add_examples",
        "avatar_api.common.openapi.complete",
        "jobs.api.openapi.names.add_names",
    ],
}

LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOGGING = logging_config(level=LOG_LEVEL, style="line")

# Who knows it may read /metrics; without one there is no such page.
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
# prometheus_client's own variable: processes of one server count into this folder, and each tells the sum.
METRICS_FOLDER = env.str("PROMETHEUS_MULTIPROC_DIR", "")
if METRICS_FOLDER:
    Path(METRICS_FOLDER).mkdir(parents=True, exist_ok=True)

# What GPUs cost, by which metrics and the admin reckon: the price of docs/COSTS.md, and what a day may cost.
GPU_USD_PER_SECOND = env.float("GPU_USD_PER_SECOND", 0.00053)
GPU_BUDGET_USD_PER_DAY = env.float("GPU_BUDGET_USD_PER_DAY", 0)


# Requests that the web process serves at once.
WEB_THREADS = env.int("WEB_THREADS", 8)
# Address space of all probes of uploaded files that run at once in a process.
PROBE_MEMORY_BYTES = env.int("PROBE_MEMORY_BYTES", 4_831_838_208)


def database(url: str, **options: object) -> dict[str, object]:
    """Django's DATABASES entry for a postgres:// address."""
    import dj_database_url

    config: dict[str, object] = dict(dj_database_url.parse(url))
    config["ENGINE"] = "django.db.backends.postgresql"
    # Each thread keeps its connection, and asks before a request uses it whether a restart of Postgres cut
    # it. A pool pauses ever longer from one cut connection to the next, and fails requests meanwhile.
    config["CONN_MAX_AGE"] = 600
    config["CONN_HEALTH_CHECKS"] = True
    # A pool in transaction mode, such as pgbouncer, gives nobody the session that such a cursor lives in.
    config["DISABLE_SERVER_SIDE_CURSORS"] = True
    config.setdefault("OPTIONS", {}).update(options)  # type: ignore[attr-defined]
    return config


def rq_queues(url: str) -> dict[str, dict[str, str]]:
    """For django-rq's pages; the queues themselves are opened by `gpu_worker.contract.queues`."""
    names = (*(lane.queue for lane in LANES), REPORTS, "outbound", "speech-cpu")
    return {name: {"URL": url, "SERIALIZER": "rq.serializers.JSONSerializer"} for name in names}


def redis_cache(url: str) -> dict[str, dict[str, object]]:
    """Django's CACHES: allauth counts in it what isn't log-in, and notes codes that were used."""
    bounds = {"socket_timeout": 0.6, "socket_connect_timeout": 0.6}
    backend = "django.core.cache.backends.redis.RedisCache"
    return {"default": {"BACKEND": backend, "LOCATION": url, "KEY_PREFIX": "cache", "OPTIONS": bounds}}
