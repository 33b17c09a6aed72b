"""Errors of the API's own that no other part of the product raises."""

from typing import ClassVar

from rest_framework import status
from rest_framework.exceptions import APIException


class Refused(APIException):
    """409: it cannot be done as things stand; `pipeline_status` where a pipeline is concerned."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "refused"

    def __init__(self, sentence: str, code: str, *, pipeline_status: str | None = None) -> None:
        super().__init__(sentence, code)
        self.pipeline_status = pipeline_status


class TooLarge(APIException):
    """413: the body is larger than DATA_UPLOAD_MAX_MEMORY_SIZE."""

    status_code: ClassVar[int] = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
