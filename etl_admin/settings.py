"""Every setting, read from the environment; the README's table lists them (a test compares)."""

import secrets as random_secrets
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from cryptography.fernet import Fernet
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from etl_admin import appearance, policy
from etl_admin import environment as env
from etl_admin.locking import *  # noqa: F403 (each name in it is a setting)
from etl_admin.rest import *  # noqa: F403 (each name in it is a setting)
from pipelines.secrets import check_keys

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

DEBUG = env.boolean("DEBUG", default=False)

# Databases and keys: with DATABASE_URL unset everything is made on the spot, under DATA_DIR.

DATABASE_URL = env.text("DATABASE_URL")
WAREHOUSE_URL = env.text("WAREHOUSE_URL")
EMBEDDED = not DATABASE_URL
DATA_DIR = env.directory("DATA_DIR", BASE_DIR / ".data", is_written=EMBEDDED)
_LIBPQ = ("host", "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "options")
env.server("WAREHOUSE_URL", parameters=("sslmode",))

DATABASES: dict[str, dict[str, Any]]
if EMBEDDED:
    DATABASES = {"default": {"ENGINE": "etl_admin.database", "NAME": "etl"}}
    SECRET_KEY = env.text("SECRET_KEY") or env.kept_secret(
        DATA_DIR, "secret_key", lambda: random_secrets.token_urlsafe(50)
    )
    ENCRYPTION_KEYS = env.items("ENCRYPTION_KEYS") or [
        env.kept_secret(DATA_DIR, "encryption_key", lambda: Fernet.generate_key().decode())
    ]
else:
    for _name in ("WAREHOUSE_URL", "SECRET_KEY", "ENCRYPTION_KEYS"):
        if not env.text(_name):
            raise env.BadSetting(_name, "must be set when DATABASE_URL is set.")
    env.server("DATABASE_URL", parameters=_LIBPQ)
    # In names of databases it takes + for a space, as forms do; addresses of PostgreSQL mean +.
    DATABASES = {"default": environ.Env.db_url_config(DATABASE_URL.replace("+", "%2B"))}
    SECRET_KEY = env.text("SECRET_KEY")
    ENCRYPTION_KEYS = env.items("ENCRYPTION_KEYS")

env.checked("ENCRYPTION_KEYS", ENCRYPTION_KEYS, check_keys)
env.checked("SECRET_KEY", SECRET_KEY, env.hard_to_guess)
# A metadata server that is gone without a word is noticed within minutes, not hours.
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
} | DATABASES["default"].get("OPTIONS", {})
if not EMBEDDED and DATABASES["default"]["HOST"] not in {"", "localhost", "127.0.0.1", "::1"}:
    DATABASES["default"]["OPTIONS"].setdefault("sslmode", "require")
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["CONN_MAX_AGE"] = 60
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The product.

STATE_SCHEMA = env.schema("STATE_SCHEMA", env.text("STATE_SCHEMA", "etl"))
TARGET_SCHEMAS = [
    env.schema("TARGET_SCHEMAS", name)
    for name in env.items("TARGET_SCHEMAS", default=("analytics",))
]
if STATE_SCHEMA in TARGET_SCHEMAS:
    raise env.BadSetting(
        "STATE_SCHEMA", "is in TARGET_SCHEMAS too; pipelines must not write there."
    )
RUNNER_LEASE_SECONDS = env.number("RUNNER_LEASE_SECONDS", default=30, least=1, most=3600)
RUNNER_POLL_SECONDS = env.number("RUNNER_POLL_SECONDS", default=5, least=0.1, most=3600)
RECONCILE_SECONDS = env.number("RECONCILE_SECONDS", default=30, least=0.1, most=3600)
RECONCILE_WORKER_SECONDS = env.number(
    "RECONCILE_WORKER_SECONDS", default=3600, least=1, most=86_400
)
RECONCILE_ROWS_AT_ONCE = env.count("RECONCILE_ROWS_AT_ONCE", default=100_000, most=1_000_000_000)
RETENTION_DAYS = env.number("RETENTION_DAYS", default=90, least=1, most=36_500)
AUDIT_DAYS = env.number("AUDIT_DAYS", default=365, least=1, most=36_500)
# How often a user may ask in a minute; 0: without limit.
LIMIT_RUN = env.count("LIMIT_RUN", default=300, most=1_000_000)
LIMIT_RECONCILE = env.count("LIMIT_RECONCILE", default=30, most=1_000_000)
LIMIT_PREVIEW = env.count("LIMIT_PREVIEW", default=30, most=1_000_000)
LIMIT_TEST = env.count("LIMIT_TEST", default=10, most=1_000_000)
LIMIT_CHECK = env.count("LIMIT_CHECK", default=120, most=1_000_000)
LIMIT_TOKENS = env.count("LIMIT_TOKENS", default=10, most=1_000_000)
PRIVILEGED_ROLES = env.choice("PRIVILEGED_ROLES", default="WARN", known=("WARN", "REFUSE")).lower()
CONNECTIONS_ALLOW_LOCAL = env.boolean("CONNECTIONS_ALLOW_LOCAL", default=False)
SECRET_ENV_PREFIX = env.prefix("SECRET_ENV_PREFIX", "ETL_SECRET_")
SECRET_FILES_DIR = env.folder("SECRET_FILES_DIR", apart_from=DATA_DIR)
# libpq lets these into every session, past each parameter that it is given.
env.forget("PGSERVICE", "PGTZ", "PGDATESTYLE", "PGGEQO")

# The web.

PUBLIC_URL = env.url("PUBLIC_URL", "http://127.0.0.1:8000")
ALLOW_HTTP = env.boolean("ALLOW_HTTP", default=False)
_PUBLIC = urlsplit(PUBLIC_URL)
_HTTPS = _PUBLIC.scheme == "https"

ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS") or sorted(
    {_PUBLIC.netloc.removesuffix(f":{_PUBLIC.port}"), "127.0.0.1", "localhost", "[::1]"}
)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
SECURE_SSL_REDIRECT = _HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if _HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _HTTPS
SECURE_HSTS_PRELOAD = _HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _HTTPS else None
SECURE_REDIRECT_EXEMPT = [r"^api/v1/health/?$"]  # probes ask inside, without TLS
SESSION_COOKIE_SECURE = _HTTPS
CSRF_COOKIE_SECURE = _HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
DEFAULT_EXCEPTION_REPORTER_FILTER = "etl_admin.reports.Filter"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {"DIRECTIVES": policy.PAGES}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
FILE_UPLOAD_HANDLERS = ["pipelines.uploads.NoFiles"]

# Signing in; `locking` has the rest.
SIGN_IN_FAILURES = env.count("SIGN_IN_FAILURES", default=10, least=1, most=1000)
SIGN_IN_LOCK_MINUTES = env.count("SIGN_IN_LOCK_MINUTES", default=15, least=1, most=10_080)
TRUSTED_PROXIES = env.count("TRUSTED_PROXIES", default=0, most=10)
AUTHENTICATION_BACKENDS = [
    # First: it refuses who is locked out, and signs nobody in.
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]

ROOT_URLCONF = "etl_admin.urls"
WSGI_APPLICATION = "etl_admin.wsgi.application"
ASGI_APPLICATION = "etl_admin.asgi.application"
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")

INSTALLED_APPS = [
    # First, so that our `runserver` is the one that is found.
    "pipelines",
    "runner",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.simple_history",
    # Its pages are loaded with the addresses of the site, which a worker does without.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_ace",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "simple_history",
    "csp",
    "axes",
]

MIDDLEWARE = [
    "pipelines.headers.Headers",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "pipelines.middleware.KnownInstallation",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "pipelines.zones.UserTimeZone",
    "pipelines.middleware.BackToSignIn",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "pipelines.middleware.SignedIn",
    "pipelines.origins.Origins",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Last: it answers for a form that somebody locked out has sent.
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
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

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("ru", _("Russian"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "etl_admin.formats"
# What people chose with the switch, for a year.
LANGUAGE_COOKIE_AGE = 31_536_000
LANGUAGE_COOKIE_SECURE = _HTTPS
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# Without `collectstatic` (the demo, development) files are served from the packages themselves.
WHITENOISE_USE_FINDERS = True
warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)
WHITENOISE_AUTOREFRESH = DEBUG

# The API; `rest` has the rest.

SPECTACULAR_SETTINGS = {
    "TITLE": "ETL API",
    "DESCRIPTION": "Pipelines that keep reporting tables up to date from SQL queries.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    # By itself it asks a server on the Internet whether the description is right.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "PipelineStatusEnum": "pipelines.states.PipelineStatus",
        "RunStatusEnum": "pipelines.states.RunStatus",
        "PipelineTypeEnum": "pipelines.choices.PipelineType",
        "HealthEnum": ["ok", "error"],
        "ReconciliationStatusEnum": "pipelines.choices.ReconciliationStatus",
    },
    "PATH_CONVERTER_OVERRIDES": {
        "pipeline_uuid": {"type": "string", "format": "uuid"},
        "connection_name": {"type": "string", "pattern": "^[a-z0-9_-]{1,63}$"},
        "token_key": {"type": "string"},
    },
    "PREPROCESSING_HOOKS": ["pipelines.api.openapi.one_form"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "pipelines.api.openapi.exact_requests",
    ],
}

LOG_LEVEL = env.choice("LOG_LEVEL", default="INFO", known=("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "etl_admin.logs.OneLine",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # It tells of every sign-in, and of nothing that it has deleted.
    "loggers": {"axes": {"level": "WARNING"}},
}

# The admin's theme.

UNFOLD = appearance.THEME
