"""Settings of the API's framework and of its tokens, all of them constants."""

from datetime import timedelta

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        # The first one's challenge decides between 401 and 403, and must not be Basic's, which
        # makes browsers pop up a password box.
        "pipelines.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
        "pipelines.api.authentication.BasicAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["pipelines.api.permissions.TablePermission"],
    "DEFAULT_FILTER_BACKENDS": [],
    "DEFAULT_SCHEMA_CLASS": "pipelines.api.openapi.Schema",
    "EXCEPTION_HANDLER": "pipelines.api.errors.handle",
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["pipelines.api.parsers.JsonObjectParser"],
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    # The form of an answer is asked for by `Accept`; `format` is a parameter like any unknown one.
    "URL_FORMAT_OVERRIDE": None,
}

KNOX_TOKEN_MODEL = "knox.AuthToken"  # noqa: S105 - the name of a model
REST_KNOX = {
    "AUTH_HEADER_PREFIX": "Token",
    "TOKEN_TTL": timedelta(days=90),
}
