"""Settings, all from the environment (docs/operations.md lists them); a missing secret fails at start."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import environ

from controlplane.accounts.providers import social_settings
from deployments.schedule import BEAT_SCHEDULE

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def use_embedded_environment(data_dir: Path) -> None:
    """Take the embedded stack's addresses and secrets as defaults, so that commands run by hand reach the running servers."""
    path = data_dir / "env.json"
    if "DATABASE_URL" not in os.environ and path.is_file() and os.access(path, os.R_OK):
        for name, value in json.loads(path.read_text()).items():
            os.environ.setdefault(name, str(value))


DATA_DIR = Path(env("DATA_DIR", default=str(BASE_DIR / ".data"))).resolve()
use_embedded_environment(DATA_DIR)

# Commands that need no secret: they start the stack, or only look at the code.
SECRETLESS = {"dev", "makemigrations", "check", "help", "spectacular", "permissions_table"}


def secret(name: str) -> str:
    """Return a secret of the environment, or fail saying which and how to get it."""
    import sys

    if value := os.environ.get(name):
        return value
    if {"mypy", "dmypy"} & {Path(sys.argv[0]).name} or SECRETLESS & set(sys.argv[1:2]) or env.bool("SLIPWAY_NO_SECRETS", default=False):
        return "b25seS1mb3ItY29tbWFuZHMtdGhhdC1uZWVkLW5vbmU="
    raise environ.ImproperlyConfigured(f"Set {name} in the environment, or start everything with `make up`, which makes its own secrets.")


DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = secret("SECRET_KEY")
FIELD_KEY = secret("FIELD_KEY")
PUBLIC_URL = env("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
GATEWAY_URL = env("GATEWAY_URL", default="http://127.0.0.1:8100").rstrip("/")
ENDPOINT_URL_TEMPLATE = env("ENDPOINT_URL_TEMPLATE", default=GATEWAY_URL + "/{slug}")
SERVERLESS_IDLE_SECONDS = env.int("SERVERLESS_IDLE_SECONDS", default=900)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]", "testserver"])
EMAIL_BACKEND = "controlplane.accounts.mail.FileBackend"
if env("EMAIL_URL", default=""):
    vars().update(env.email_url("EMAIL_URL"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env("MAIL_FROM", default=f"Slipway <slipway@{urlsplit(PUBLIC_URL).hostname}>")
INSTALLATION_ID = env("INSTALLATION_ID", default="slipway")

DATABASES = {"default": env.db("DATABASE_URL", default="postgres://postgres@127.0.0.1:5432/slipway")}
DATABASES["default"].update(
    CONN_MAX_AGE=env.int("DATABASE_CONN_MAX_AGE", default=60),
    CONN_HEALTH_CHECKS=True,
    ATOMIC_REQUESTS=False,
    DISABLE_SERVER_SIDE_CURSORS=False,
)
REDIS_URL = env("REDIS_URL", default="redis://127.0.0.1:6379/0")
S3_ENDPOINT_URL = env("S3_ENDPOINT_URL", default="")
S3_ACCESS_KEY = env("S3_ACCESS_KEY", default="")
S3_SECRET_KEY = env("S3_SECRET_KEY", default="")
S3_BUCKET = env("S3_BUCKET", default="slipway")
S3_REGION = env("S3_REGION", default="us-east-1")
S3_PUBLIC_URL = env("S3_PUBLIC_URL", default="").rstrip("/")

# Storage of projects (docs/storage.md). Sizes are bytes.
STORAGE_PROJECT_QUOTA = env.int("STORAGE_PROJECT_QUOTA", default=10 * 1024**3)
STORAGE_MAX_OBJECTS = env.int("STORAGE_MAX_OBJECTS", default=1_000_000)
STORAGE_TEMPORARY_LIFE = timedelta(seconds=env.int("STORAGE_TEMPORARY_LIFE", default=3600))
STORAGE_SILENCE = env.float("STORAGE_SILENCE", default=30)
STORAGE_DIRECT_LIFE = timedelta(seconds=env.int("STORAGE_DIRECT_LIFE", default=24 * 3600))

# Logs (docs/logs.md): days that lines are kept, what the replicas of a deployment may write, callers of a web process who may wait for new lines.
LOG_RETENTION_DAYS = env.int("LOG_RETENTION_DAYS", default=30)
LOG_LINES_A_MINUTE = env.int("LOG_LINES_A_MINUTE", default=30_000)
LOG_MEGABYTES_A_MINUTE = env.int("LOG_MEGABYTES_A_MINUTE", default=8)
LOG_FOLLOWERS = env.int("LOG_FOLLOWERS", default=8)

# Days that single runs are kept (docs/metering.md): their sums and charges stay. 0: for ever.
USAGE_RETENTION_DAYS = env.int("USAGE_RETENTION_DAYS", default=0)
if USAGE_RETENTION_DAYS != 0 and USAGE_RETENTION_DAYS < 31:
    raise environ.ImproperlyConfigured(f"USAGE_RETENTION_DAYS is 0 (for ever) or at least 31, not {USAGE_RETENTION_DAYS}.")

# Plans (docs/billing.md): those that new workspaces get ("" = none, so that one has to be chosen), and what the end of the credits does to instances.
PERSONAL_PLAN, ORGANIZATION_PLAN = (
    "" if given == "none" else given for given in (env("PERSONAL_PLAN", default="free"), env("ORGANIZATION_PLAN", default="none"))
)
CREDIT_EXHAUSTION = env("CREDIT_EXHAUSTION", default="suspend")
if CREDIT_EXHAUSTION not in ("suspend", "delete"):
    raise environ.ImproperlyConfigured(f"CREDIT_EXHAUSTION is suspend or delete, not '{CREDIT_EXHAUSTION}'.")
METERING_SECONDS = env.float("METERING_SECONDS", default=60)
# Payments (docs/stripe.md). Without a key the operator grants credits. Another address than Stripe's own is for tests.
STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, STRIPE_API_BASE = (
    "" if given == "none" else given
    for given in (env("STRIPE_SECRET_KEY", default=""), env("STRIPE_WEBHOOK_SECRET", default=""), env("STRIPE_API_BASE", default=""))
)

RUNTIME_PYTHON = env("RUNTIME_PYTHON", default=str(BASE_DIR / "runtime" / ".venv" / "bin" / "python"))
# Building (docs/bundles.md). Sizes are bytes, times seconds.
BUILD_FOLDER = env("BUILD_FOLDER", default=str(DATA_DIR / "build"))
BUILD_CACHE_BYTES = env.int("BUILD_CACHE_BYTES", default=5 * 1024**3)
BUILD_TIMEOUT = env.float("BUILD_TIMEOUT", default=900)
PACKAGE_INDEX_URL = env("PACKAGE_INDEX_URL", default="")
# "none", as nothing: a file of settings need not leave a line empty.
PACKAGE_FOLDER, REGISTRY_URL = (
    "" if given == "none" else given for given in (env("PACKAGE_FOLDER", default="none"), env("REGISTRY_URL", default="none").rstrip("/"))
)
AGENT_SOCKET = env("AGENT_SOCKET", default=str(DATA_DIR / "agent" / "agent.sock"))
AGENT_BUNDLE_BYTES = env.int("AGENT_BUNDLE_BYTES", default=20 * 1024**3)
# Receivers of webhooks (docs/webhooks.md): private networks that they may be in, and whether they may be on this machine, without TLS.
WEBHOOK_ALLOWED_NETWORKS = [ip_network(text) for text in env.list("WEBHOOK_ALLOWED_NETWORKS", default=[])]
WEBHOOK_LOOPBACK = env.bool("WEBHOOK_LOOPBACK", default=False)
PUSH_MAX_BYTES = env.int("PUSH_MAX_BYTES", default=512 * 1024 * 1024)
SOCIAL = social_settings(env("SOCIAL_PROVIDERS", default=""))

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    *SOCIAL.apps,
    "controlplane.api",
    "controlplane.audit",
    "controlplane.accounts",
    "controlplane.workspaces",
    "controlplane.projects",
    "controlplane.webhooks",
    "controlplane.hub",
    "controlplane.embedded",
    "controlplane.ops",
    "billing",
    "storage",
    "deployments",
]
MIDDLEWARE = [
    "controlplane.api.middleware.RequestIdMiddleware",
    "controlplane.audit.middleware.OriginMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "controlplane.accounts.pages.PagesMiddleware",
]
ROOT_URLCONF = "controlplane.urls"
WSGI_APPLICATION = "controlplane.wsgi.application"
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
            ]
        },
    }
]

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = env("STATIC_ROOT", default=None)
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
SECURE_CONTENT_TYPE_NOSNIFF = True
BEHIND_TLS_PROXY = env.bool("BEHIND_TLS_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS_PROXY else None

# People in the browser (docs/sign-in.md). Programs send tokens and never meet a session or a CSRF check.
CACHES = {"default": {"BACKEND": "controlplane.accounts.cache.SharedCache", "LOCATION": REDIS_URL, "KEY_PREFIX": "sw:cache"}}
AUTHENTICATION_BACKENDS = ["controlplane.accounts.backends.SignInBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "settings"
PASSWORD_RESET_TIMEOUT = 3600
# Browsers take a __Host- cookie from this host alone: endpoints are on names below it, and what runs there is not ours.
SESSION_COOKIE_NAME = "__Host-slipway_session" if BEHIND_TLS_PROXY else "slipway_session"
CSRF_COOKIE_NAME = "__Host-slipway_csrf" if BEHIND_TLS_PROXY else "slipway_csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS_PROXY
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "controlplane.accounts.page_errors.wrong_origin"

ACCOUNT_ADAPTER = "controlplane.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_MAX_EMAIL_ADDRESSES = 5
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_FORMS = {
    "login": "controlplane.accounts.forms.SignInForm",
    "signup": "controlplane.accounts.forms.SignUpForm",
    "add_email": "controlplane.accounts.forms.AddAddressForm",
    "change_password": "controlplane.accounts.forms.ChangePasswordForm",
    "set_password": "controlplane.accounts.forms.SetPasswordForm",
    "reset_password": "controlplane.accounts.forms.ForgottenPasswordForm",
    "reset_password_from_key": "controlplane.accounts.forms.NewPasswordForm",
    "reauthenticate": "controlplane.accounts.forms.ConfirmPasswordForm",
}
USERSESSIONS_ADAPTER = "controlplane.accounts.trail.SessionsAdapter"
MFA_ADAPTER = "controlplane.accounts.second_factor.SecondFactorAdapter"
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_TOLERANCE = 1
MFA_FORMS = {
    "authenticate": "controlplane.accounts.forms.CodeForm",
    "reauthenticate": "controlplane.accounts.forms.ConfirmCodeForm",
    "activate_totp": "controlplane.accounts.forms.ActivateAppForm",
}
SOCIALACCOUNT_ADAPTER = "controlplane.accounts.social_adapter.SocialAdapter"
SOCIALACCOUNT_PROVIDERS = SOCIAL.providers
SOCIALACCOUNT_AUTO_SIGNUP = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_FORMS = {"signup": "controlplane.accounts.forms.SocialSignUpForm"}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["controlplane.accounts.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["controlplane.api.permissions.DeclaredPermission"],
    "DEFAULT_RENDERER_CLASSES": ["controlplane.api.renderers.ReadableJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["controlplane.api.parsers.PlainJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "controlplane.api.pagination.Page",
    "DEFAULT_SCHEMA_CLASS": "controlplane.api.schema.Schema",
    "EXCEPTION_HANDLER": "controlplane.api.errors.envelope",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "COERCE_DECIMAL_TO_STRING": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Slipway",
    "DESCRIPTION": "Push a vision workflow, deploy it, call it at one stable URL. Every refusal has the same envelope: code, detail, fields, request_id.",
    "VERSION": "v1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["controlplane.api.permissions.Anyone"],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "/v1/",
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SORT_OPERATIONS": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "controlplane.api.schema.describe_errors",
    ],
}

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "slipway"
# Builds take minutes: they have workers of their own, so that nothing else waits for them.
CELERY_TASK_ROUTES = {"deployments.build": {"queue": "slipway-builds"}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600, "socket_keepalive": True}


CELERY_BEAT_SCHEDULE = BEAT_SCHEDULE

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env("LOG_LEVEL", default="INFO")},
    "loggers": {
        "botocore": {"level": "WARNING"},
        "boto3": {"level": "WARNING"},
        "s3transfer": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        # It writes headers and addresses of receivers, which hold secrets.
        "httpcore": {"level": "WARNING"},
        # At DEBUG it writes what is sent and answered: names and addresses of customers.
        "stripe": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}
