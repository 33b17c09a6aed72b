"""A name that two people take at the same moment: the database decides, the second is told."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction
from rest_framework.exceptions import ValidationError

#: PostgreSQL's SQLSTATE for a row that would be there twice.
UNIQUE_VIOLATION = "23505"


@contextmanager
def unique_name(sentence: str) -> Iterator[None]:
    """A transaction; when the name is taken already, ValidationError with `sentence` at it."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if getattr(error.__cause__, "sqlstate", "") != UNIQUE_VIOLATION:
            raise
        raise ValidationError({"name": [sentence]}) from error
