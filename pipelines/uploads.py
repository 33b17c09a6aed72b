"""Files in forms: nothing here takes any, so none is read."""

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler


class NoFiles(FileUploadHandler):
    """Refuses a file before its first byte; Django would put it on the disk of whoever serves, for
    strangers too, and without a limit."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Raises RequestDataTooBig."""
        raise RequestDataTooBig("No form takes files.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        """Never called."""
        return None

    def file_complete(self, file_size: int) -> None:
        """Never called."""
