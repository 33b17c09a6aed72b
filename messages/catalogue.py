"""The Russian catalogue as files: read, merged with what the code says now, written, compiled."""

import re
from datetime import UTC, datetime
from io import BytesIO

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from messages.sources import LANGUAGE, ROOT, fresh

FOLDER = ROOT / "locale" / LANGUAGE / "LC_MESSAGES"
PO = FOLDER / "django.po"
MO = FOLDER / "django.mo"

_NEVER = datetime(2000, 1, 1, tzinfo=UTC)
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{[^{}]*\}")


def stored() -> Catalog:
    """What is in the repository."""
    with PO.open("rb") as file:
        catalog = read_po(file)
    # Without a date Babel writes the present one, and every .mo would be another.
    catalog.creation_date = _NEVER
    return catalog


def merged(old: Catalog) -> Catalog:
    """The messages of today with the translations of `old`; what nobody says any more goes."""
    new = fresh()
    new.mime_headers = old.mime_headers  # for the number of plural forms: Django's, not Babel's
    for message in new:
        known = old.get(message.id, message.context) if message.id else None
        if known is not None and known.string and _is_plural(known) == _is_plural(message):
            message.string = known.string
    return new


def text_of(catalog: Catalog) -> bytes:
    """The catalogue as a .po: its head as it is, then the messages without line numbers, sorted,
    so that branches merge well."""
    file = BytesIO()
    write_po(file, catalog, width=100, sort_output=True, include_lineno=False, omit_header=True)
    head, _sep, _messages = PO.read_bytes().partition(b"\n\n")
    return head + b"\n\n" + file.getvalue()


def compiled(catalog: Catalog) -> bytes:
    """The catalogue as a .mo."""
    file = BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def untranslated(catalog: Catalog) -> list[str]:
    """Messages that have no translation, or not in every form, or a doubtful one."""
    return [
        str(message.id)
        for message in catalog
        if message.id and (message.fuzzy or not all(_forms(message, catalog)))
    ]


def misfilled(catalog: Catalog) -> list[str]:
    """Messages whose translation has other placeholders than the text."""
    return [
        f"{message.id} | {form}"
        for message in catalog
        if message.id
        for form in _forms(message, catalog)
        if form and _placeholders(form) not in _allowed(message)
    ]


def _allowed(message: Message) -> list[set[str]]:
    # A singular may leave out the number: "a day ago".
    texts = [message.id] if isinstance(message.id, str) else list(message.id)
    return [_placeholders(text) for text in texts]


def _placeholders(text: str) -> set[str]:
    return set(_PLACEHOLDER.findall(text.replace("%%", "")))


def _forms(message: Message, catalog: Catalog) -> list[str]:
    if not _is_plural(message):
        return [str(message.string or "")]
    given = message.string if isinstance(message.string, tuple | list) else ()
    return [*given, *[""] * (catalog.num_plurals - len(given))]


def _is_plural(message: Message) -> bool:
    return not isinstance(message.id, str)
