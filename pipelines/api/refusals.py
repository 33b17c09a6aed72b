"""The API's own refusals, for what no verb of the lifecycle refuses."""

from django.utils.translation import gettext_lazy
from rest_framework import status
from rest_framework.exceptions import APIException


class Refused(APIException):
    """409: it cannot be done as things stand; `pipeline_status` where a pipeline is concerned."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "refused"

    def __init__(self, sentence: str, code: str, *, pipeline_status: str | None = None) -> None:
        super().__init__(sentence, code)
        self.pipeline_status = pipeline_status


class LengthRequired(APIException):
    """411: a body of unknown length, of which nothing would be read."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = gettext_lazy(
        "Send the body with a header “Content-Length”: one in chunks is not read."
    )


class TooManyAttempts(APIException):
    """429: too many failed attempts to sign in; `wait` is in seconds."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_attempts"

    def __init__(self, sentence: str, wait: int) -> None:
        super().__init__(sentence)
        self.wait = wait
