"""Reading the environment: parsers that stop the start with a sentence; no Django here."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

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
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path:
        raise BadSetting(name, f"“{value}” is not an address like https://etl.example.com.")
    return value


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
