"""Where messages come from: our code and templates, the runner's sentences, the theme's strings."""

import importlib.util
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import read_mo
from django.utils.translation.template import templatize

from messages.sentences import CONTEXT, sentences

ROOT = Path(__file__).resolve().parent.parent
LANGUAGE = "ru"

_CODE = ("etl_admin", "pipelines")
_TEMPLATES = "templates"
#: Sentences that are stored in English and translated where they are shown.
_STORED = (
    *("runner", "pipelines/lifecycle/values.py", "pipelines/lifecycle/workers.py"),
    *("pipelines/hosts.py", "pipelines/references.py"),
)
#: One that speaks the reader's language itself: what it says is marked as everywhere in our code.
_MARKED = "runner/preflight/words.py"
#: Packages whose pages we show, and which bring no Russian under the name `ru`.
_THEIRS = ("unfold", "simple_history")
#: Parts of them that are not installed.
_NOT_OURS = {"import_export", "guardian", "constance", "location_field", "inlines", "tests"}
#: Packages that bring Russian: what they have translated needs none of ours.
_TRANSLATED = ("django", "rest_framework", "django_filters")
#: What Django says in Russian in the masculine only, whatever the thing is.
_RETOLD = (
    "The {name} “{obj}” was added successfully.",
    "The {name} “{obj}” was changed successfully.",
    "The %(name)s “%(obj)s” was deleted successfully.",
    "Change %s",
    "Select %s to change",
    "Select %s to view",
    "View %s",
)
_KEYWORDS = DEFAULT_KEYWORDS | {
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
}


class Message(NamedTuple):
    """A message of the catalogue; `text` is a pair where there is a plural."""

    text: str | tuple[str, str]
    context: str | None
    place: str
    comment: str = ""


def messages() -> Iterator[Message]:
    """Every message that the catalogue must have."""
    for folder in _CODE:
        yield from _in_folder(ROOT / folder, folder)
    yield from _in_folder(ROOT / _TEMPLATES, _TEMPLATES)
    yield from _in_file(ROOT / _MARKED, _MARKED)
    yield from _stored()
    yield from (Message(text, None, "django") for text in _RETOLD)
    known = _known()
    for package in _THEIRS:
        for message in _in_folder(_home(package), package):
            if (message.text, message.context) not in known:
                yield message


def _in_folder(folder: Path, name: str) -> Iterator[Message]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        is_read = path.suffix in {".py", ".html", ".txt"} and not _NOT_OURS & {*inside.parts}
        if is_read and path.is_file():
            yield from _in_file(path, f"{name}/{inside.as_posix()}")


def _in_file(path: Path, place: str) -> Iterator[Message]:
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        # What becomes of a template is no Python between the calls, so its indents mean nothing.
        lines = templatize(text, origin=place).splitlines()
        text = "\n".join(line.strip() for line in lines)
    found = extract("python", BytesIO(text.encode()), keywords=_KEYWORDS)
    for _line, words, _comments, context in found:
        yield Message(words if isinstance(words, str) else (words[0], words[1]), context, place)


def _stored() -> Iterator[Message]:
    paths = [
        path.relative_to(ROOT)
        for name in _STORED
        for path in (sorted((ROOT / name).rglob("*.py")) or [ROOT / name])
        if path != ROOT / _MARKED
    ]
    for sentence, whole, path in sentences(ROOT, paths):
        comment = "" if sentence == whole.strip() else f"In: {whole.strip()}"
        yield Message(sentence, CONTEXT, path.as_posix(), comment)


def _known() -> set[tuple[str | tuple[str, str], str | None]]:
    """What other packages say in Russian."""
    found: set[tuple[str | tuple[str, str], str | None]] = set()
    for package in _TRANSLATED:
        for path in sorted(_home(package).glob(f"**/{LANGUAGE}/LC_MESSAGES/django.mo")):
            with path.open("rb") as file:
                found |= {(_key(message.id), message.context) for message in read_mo(file)}
    return found


def _key(text: str | list[str] | tuple[str, ...]) -> str | tuple[str, str]:
    return text if isinstance(text, str) else (text[0], text[1])


def _home(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"The package {package} is not installed.")
    return Path(spec.origin).parent


def fresh() -> Catalog:
    """The catalogue without translations."""
    catalog = Catalog(locale=LANGUAGE)
    for message in messages():
        catalog.add(
            message.text,
            locations=[(message.place, 0)],
            auto_comments=[message.comment] if message.comment else [],
            context=message.context,
        )
    return catalog
