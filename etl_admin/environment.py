"""Reading the environment: parsers that stop the start with a sentence; no Django here."""

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pipelines.names import MAX_BYTES, is_system_schema

T = TypeVar("T")

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


class BadSetting(SystemExit):
    """A wrong value in the environment; ends the process with the sentence, without a traceback."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(f"{name}: {sentence}")


def text(name: str, default: str = "") -> str:
    """The variable, without surrounding white space; unset or blank gives `default`."""
    return os.environ.get(name, "").strip() or default


def boolean(name: str, *, default: bool) -> bool:
    """1/true/yes/on or 0/false/no/off."""
    value = text(name).lower()
    if not value:
        return default
    if value not in TRUE | FALSE:
        raise BadSetting(name, f"“{value}” is neither 1 (on) nor 0 (off).")
    return value in TRUE


def number(name: str, *, default: float, least: float, most: float) -> float:
    """A number from `least` to `most`."""
    value = text(name)
    if not value:
        return default
    try:
        parsed = float(value)
    except ValueError:
        raise BadSetting(name, f"“{value}” is not a number.") from None
    # Written so that NaN is refused too.
    if not least <= parsed <= most:
        raise BadSetting(name, f"{value} is not between {least:g} and {most:g}.")
    return parsed


def items(name: str, *, default: tuple[str, ...] = ()) -> list[str]:
    """A comma-separated list without empty items."""
    return [item.strip() for item in text(name).split(",") if item.strip()] or list(default)


def choice(name: str, *, default: str, known: tuple[str, ...]) -> str:
    """One of the known words, in any case."""
    value = text(name, default).upper()
    if value not in known:
        raise BadSetting(name, f"“{value}” is none of {', '.join(known)}.")
    return value


def checked(name: str, value: T, check: Callable[[T], None]) -> T:
    """`value`, once `check` has not raised ValueError with a sentence."""
    try:
        check(value)
    except ValueError as error:
        raise BadSetting(name, str(error)) from None
    return value


def url(name: str, default: str) -> str:
    """An http or https address without a path, as people type it into a browser."""
    value = text(name, default).rstrip("/")
    wrong = BadSetting(name, "must be an address like https://etl.example.com, and no more.")
    parts = _split(value, wrong)
    more = (parts.path, parts.query, parts.fragment, parts.username, parts.password)
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(more) or "?" in value:
        raise wrong
    return value


def server(name: str, *, parameters: tuple[str, ...]) -> SplitResult | None:
    """A PostgreSQL address, None when unset. No part of it is ever shown: where it is wrong,
    a piece of the password may stand anywhere.
    """
    value = text(name)
    if not value:
        return None
    wrong = BadSetting(name, _SERVER)
    parts = _split(value, wrong)
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    has_form = (
        parts.scheme in {"postgres", "postgresql"}
        and parts.netloc.count("@") == 1
        and parts.username
        and (parts.hostname or asked.get("host"))
        and re.fullmatch(r"/[^/]+", parts.path)
        and not parts.fragment
        and not re.search(r"%(?![0-9a-fA-F]{2})", value)
    )
    if not has_form:
        raise wrong
    if any(parameter not in parameters for parameter in asked):
        known = ", ".join(parameters)
        raise BadSetting(name, f"has a parameter after “?” that is none of {known}.")
    if asked.get("sslmode", _SSL_MODES[0]) not in _SSL_MODES:
        raise BadSetting(name, f"its sslmode must be one of {', '.join(_SSL_MODES)}.")
    return parts


def schema(name: str, value: str) -> str:
    """The name of a schema that may be ours to write to."""
    if is_system_schema(value):
        raise BadSetting(name, f"“{value}” belongs to PostgreSQL itself; choose another schema.")
    if "\0" in value or len(value.encode(errors="replace")) > MAX_BYTES:
        raise BadSetting(name, f"“{value[:40]}…” is longer than the {MAX_BYTES} bytes of a name.")
    return value


def directory(name: str, default: Path) -> Path:
    """A directory that is there or can be made; nothing is made yet."""
    path = Path(text(name, str(default))).absolute()
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    if not nearest.is_dir():
        raise BadSetting(name, f"{nearest} is a file; give a directory.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise BadSetting(name, f"{nearest} cannot be written by this user; give another directory.")
    return path


def _split(value: str, wrong: BadSetting) -> SplitResult:
    try:
        parts = urlsplit(value)
        port = parts.port  # raises for what is no port
    except ValueError:
        raise wrong from None
    if port == 0:
        raise wrong
    return parts


_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SERVER = (
    "must be an address like postgresql://user:password@host:5432/database. Characters such as "
    "/ @ : # ? % in the user or the password are written as %2F %40 %3A %23 %3F %25."
)


def kept_secret(directory: Path, name: str, make: Callable[[], str]) -> str:
    """A secret of this installation in `directory`, made at the first call, readable by us only."""
    path = directory / name
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = directory / f"{name}.{os.getpid()}.{secrets.token_hex(4)}"
    if not path.exists():
        draft.touch(mode=0o600)
        draft.write_text(make() + "\n")
        try:
            # A link never overwrites: of two first starts at once, one secret wins for both.
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
