"""Encrypting every stored secret again under the first of ENCRYPTION_KEYS."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import ngettext

from pipelines import secrets
from pipelines.models import Connection


@dataclass(frozen=True, kw_only=True)
class Count:
    """The names of connections whose secret needs an older key, and how many need none."""

    old: tuple[str, ...]
    current: int


def count() -> Count:
    """Which secrets are still under older keys. Raises secrets.WrongKey."""
    return _counted(list(_rows()))


def rotate() -> Count:
    """Encrypt under the first key what is not; all or nothing. Returns what there was.

    Raises secrets.WrongKey, with the names of all connections that no key opens.
    """
    with transaction.atomic():
        rows = list(_rows().select_for_update())
        found = _counted(rows)
        for row in rows:
            if row.name in found.old:
                # Not `updated_at`: what people stored is the same.
                renewed = secrets.renew(row.secret)
                Connection.objects.filter(pk=row.pk).update(secret=renewed)
    return found


def _rows() -> QuerySet[Connection]:
    return Connection.objects.exclude(secret="").order_by("pk").only("name", "secret")


def _counted(rows: list[Connection]) -> Count:
    closed = sorted(row.name for row in rows if not secrets.opens(row.secret))
    if closed:
        raise secrets.WrongKey(_closed(closed))
    old = tuple(sorted(row.name for row in rows if not secrets.is_current(row.secret)))
    return Count(old=old, current=len(rows) - len(old))


def _closed(names: list[str]) -> str:
    sentence = ngettext(
        "None of ENCRYPTION_KEYS opens the password of the connection %(names)s. Put the old key "
        "back at the end of the list, or enter the password again. Nothing was changed.",
        "None of ENCRYPTION_KEYS opens the passwords of the connections %(names)s. Put the old "
        "key back at the end of the list, or enter the passwords again. Nothing was changed.",
        len(names),
    )
    return sentence % {"names": ", ".join(f"“{name}”" for name in names)}
