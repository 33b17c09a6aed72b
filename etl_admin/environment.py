"""Reading the environment: parsers that stop the start with a sentence; no Django here."""

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pipelines.names import MAX_BYTES, is_system_schema

# As Django's own check of a deployment has it.
_LEAST_SECRET = 50
_LEAST_VARIED = 5

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


def forget(*names: str) -> None:
    """Take variables out of the environment, for us and for the processes that we start."""
    for name in names:
        os.environ.pop(name, None)


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


def count(name: str, *, default: int, least: int = 0, most: int) -> int:
    """A whole number from `least` to `most`."""
    value = text(name)
    if not value:
        return default
    if not value.isdecimal():
        raise BadSetting(name, f"“{value}” is not a whole number.")
    if not least <= int(value) <= most:
        raise BadSetting(name, f"{value} is not between {least} and {most}.")
    return int(value)


def items(name: str, *, default: tuple[str, ...] = ()) -> list[str]:
    """A comma-separated list without empty items."""
    return [item.strip() for item in text(name).split(",") if item.strip()] or list(default)


def hosts(name: str) -> list[str]:
    """Host names as Django's ALLOWED_HOSTS takes them, without scheme or port."""
    found = [host.lower() for host in items(name)]
    for host in found:
        if not _ALLOWED_HOST.fullmatch(host):
            raise BadSetting(
                name, f"“{host}” is no host name: give names like etl.example.com, without port."
            )
    return found


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


def hard_to_guess(secret: str) -> None:
    """Raise ValueError for a secret that somebody may find by trying."""
    if len(secret) < _LEAST_SECRET or len(set(secret)) < _LEAST_VARIED:
        raise ValueError(
            f"must be random text of at least {_LEAST_SECRET} characters, with which sessions are "
            'signed. Make one: python -c "import secrets; print(secrets.token_urlsafe(50))"'
        )


def url(name: str, default: str) -> str:
    """An http or https address without a path, as browsers send it in `Origin`."""
    value = text(name, default).rstrip("/")
    if fault := _fault_of_url(value):
        raise BadSetting(name, f"must be an address like https://etl.example.com, but {fault}.")
    parts = urlsplit(value)
    has_usual_port = parts.port in {None, 80 if parts.scheme == "http" else 443}
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if has_usual_port else f":{parts.port}")


def server(name: str, *, parameters: tuple[str, ...]) -> SplitResult | None:
    """A PostgreSQL address, None when unset. No part of it is ever shown: where it is wrong,
    a piece of the password may stand anywhere.
    """
    value = text(name)
    if not value:
        return None
    if fault := _fault_of_server(value, has_host_elsewhere="host" in parameters):
        raise BadSetting(name, _SERVER.format(fault))
    parts = urlsplit(value)
    if fault := _fault_of_parameters(parts.query, parameters):
        raise BadSetting(name, fault)
    return parts


def schema(name: str, value: str) -> str:
    """The name of a schema that may be ours to write to."""
    if is_system_schema(value):
        raise BadSetting(name, f"“{value}” belongs to PostgreSQL itself; choose another schema.")
    if not value.isprintable() or set(value) & {".", '"'}:
        raise BadSetting(name, f"“{value}” must be the plain name of a schema, no dots or quotes.")
    if len(value.encode()) > MAX_BYTES:
        raise BadSetting(name, f"“{value[:40]}…” is longer than the {MAX_BYTES} bytes of a name.")
    return value


def directory(name: str, default: Path, *, is_written: bool) -> Path:
    """A directory that is there or can be made; nothing is made yet."""
    path = Path(text(name, str(default))).absolute()
    nearest = next(parent for parent in (path, *path.parents) if _exists(parent))
    if not nearest.is_dir():
        raise BadSetting(name, f"{nearest} is a file; give a directory.")
    if is_written and not os.access(nearest, os.W_OK | os.X_OK):
        raise BadSetting(name, f"{nearest} cannot be written by this user; give another directory.")
    return path


def folder(name: str, *, apart_from: Path) -> str:
    """A folder that is there and does not have `apart_from` in it; empty when unset."""
    value = text(name)
    path = Path(value)
    if value and not (path.is_absolute() and path.is_dir()):
        raise BadSetting(name, "must be a folder that is there, from its root: /run/etl-secrets.")
    if value and apart_from.resolve().is_relative_to(path.resolve()):
        raise BadSetting(name, "DATA_DIR, where our own keys are, lies in it; choose another.")
    return value


def prefix(name: str, default: str) -> str:
    """What names of variables begin with that people may refer to; never that of our own keys."""
    value = text(name, default)
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*_", value):
        raise BadSetting(name, f"“{value}” must be capitals, digits and _, with _ at its end.")
    if own := [one for one in _OWN if one.startswith(value)]:
        raise BadSetting(name, f"“{value}” would open {own[0]} to people; choose another prefix.")
    return value


def kept_secret(directory: Path, name: str, make: Callable[[], str]) -> str:
    """A secret of this installation in `directory`, made at the first call, readable by us only."""
    path = directory / name
    try:
        secret = _kept(path, make)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise BadSetting("DATA_DIR", f"{path} cannot be made or read: {reason}.") from None
    if not secret:
        raise BadSetting("DATA_DIR", f"{path} is empty; restore it from a backup.")
    return secret


def _kept(path: Path, make: Callable[[], str]) -> str:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
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


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # closed to us, or no possible name: what is above it decides
        return False


def _fault_of_url(value: str) -> str:
    """What is wrong, without showing any of it; empty when nothing is."""
    try:
        parts = urlsplit(value)
        port = parts.port  # raises for what is no port
    except ValueError:
        return "its host or its port cannot be read"
    faults = {
        "it does not begin with http:// or https://": parts.scheme not in {"http", "https"},
        "it names a user": "@" in parts.netloc,
        "it goes on after the host": parts.path or set(value) & {"?", "#"},
        "its host is not made of letters a to z, digits, dots and hyphens": not _HOST.fullmatch(
            parts.netloc.lower()
        ),
        "its port is not from 1 to 65535": port == 0,
    }
    return next((fault for fault, is_there in faults.items() if is_there), "")


def _fault_of_server(value: str, *, has_host_elsewhere: bool) -> str:
    """What is wrong, without showing any of it; empty when nothing is."""
    try:
        parts = urlsplit(value)
        port = parts.port  # raises for what is no port
        plain = unquote(value, errors="strict")
    except UnicodeDecodeError:
        return "what is written with % in it is not UTF-8"
    except ValueError:
        return "its host or its port cannot be read"
    has_host = parts.hostname or (has_host_elsewhere and "host=" in parts.query)
    faults = {
        "it does not begin with postgresql://": parts.scheme not in {"postgres", "postgresql"},
        # Of these urlsplit drops some without a word, which would change a password.
        "it has a space or a control character": re.search(r"[\x00-\x20\x7f]", value)
        or "\0" in plain,
        "a % in it is not followed by two digits 0-9 A-F": re.search(r"%(?![0-9a-fA-F]{2})", value),
        "it has a #": "#" in value,
        "it has not one @ between the password and the host": parts.netloc.count("@") != 1,
        "the user is missing": not parts.username,
        "the host is missing": not has_host,
        "its host has a %": "%" in (parts.hostname or ""),
        "its port is not from 1 to 65535": port == 0,
        "not one database follows the host": not re.fullmatch(r"/[^/@]+", parts.path),
    }
    return next((fault for fault, is_there in faults.items() if is_there), "")


def _fault_of_parameters(query: str, known: tuple[str, ...]) -> str:
    """Not even an unknown parameter's name is shown: it may be the end of a password."""
    pairs = parse_qsl(query, keep_blank_values=True)
    asked = dict(pairs)
    if len(asked) < len(pairs):
        return "gives a parameter after “?” twice."
    if not asked.keys() <= set(known):
        return f"has a parameter after “?” that is none of {', '.join(known)}."
    if asked.get("sslmode", _SSL_MODES[0]) not in _SSL_MODES:
        return f"its sslmode must be one of {', '.join(_SSL_MODES)}."
    if not re.fullmatch(r"[1-9][0-9]{0,3}", asked.get("connect_timeout", "1"), re.ASCII):
        return "its connect_timeout must be a number of seconds, from 1 to 9999."
    return ""


_OWN = ("DATABASE_URL", "WAREHOUSE_URL", "SECRET_KEY", "ENCRYPTION_KEYS")
#: A name, a domain with all names in it (.example.com), every host (*), an address.
_ALLOWED_HOST = re.compile(r"\*|\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
#: As Django's `host_validation_re`, but no leading dot, which would stand for every subdomain.
_HOST = re.compile(r"([a-z0-9][a-z0-9.-]*|\[[0-9a-f:.]*:[0-9a-f:.]*\])(:[0-9]*)?")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SERVER = (
    "must be an address like postgresql://user:password@host:5432/database, but {}. Characters "
    "such as / @ : # ? % in the user or the password are written as %2F %40 %3A %23 %3F %25."
)
