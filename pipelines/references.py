"""Passwords that are kept elsewhere: in the environment, or in files that somebody else puts there.

Who edits connections chooses where a password is sent. So what may be referred to is a list of its
own, and never this installation's keys: variables that begin with SECRET_ENV_PREFIX, and files
under SECRET_FILES_DIR.
"""

import os
import re
import stat
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from pipelines.choices import PasswordSource
from pipelines.secrets import Unreadable

MAX_BYTES = 4096


class Missing(Unreadable):
    """What a connection refers to is not there, or may not be read."""


def fault(source: str, reference: str) -> str | None:
    """Why nothing may be read there, None when it may; whether it is there is not asked."""
    if source == PasswordSource.ENVIRONMENT:
        return _fault_of_variable(reference)
    if source == PasswordSource.FILE:
        return _fault_of_file(reference)
    return None


@sensitive_variables()
def read(source: str, reference: str) -> str:
    """The password that is referred to. Raises Missing with a sentence that shows none of it."""
    if sentence := fault(source, reference):
        raise Missing(sentence)
    if source == PasswordSource.ENVIRONMENT:
        password, missing = os.environ.get(reference, ""), _missing_variable
    else:
        password, missing = _content(Path(settings.SECRET_FILES_DIR), reference), _missing_file
    if not password or "\0" in password:
        raise missing(reference)
    return password


def _fault_of_variable(name: str) -> str | None:
    prefix = settings.SECRET_ENV_PREFIX
    rest = name.removeprefix(prefix)
    if rest in ("", name) or not re.fullmatch(r"[A-Za-z0-9_]+", rest):
        return _("Give a variable whose name begins with %(prefix)s. Others are not read.") % {
            "prefix": prefix
        }
    return None


def _fault_of_file(name: str) -> str | None:
    if not settings.SECRET_FILES_DIR:
        return _("Files are not read here: the setting SECRET_FILES_DIR names no folder.")
    if not _FILE.fullmatch(name):
        return _(
            "Give a file's name as seen from SECRET_FILES_DIR, like shop/password: letters, "
            "digits, hyphens, dots and underscores."
        )
    return None


@sensitive_variables()
def _content(folder: Path, name: str) -> str:
    """Without the line feed at its end. Raises Missing."""
    try:
        root = folder.resolve(strict=True)
        # Links are how Kubernetes mounts secrets; they may lead anywhere below the folder only.
        path = (root / name).resolve(strict=True)
        if not path.is_relative_to(root):
            raise Missing(_("the file %(name)s leads out of SECRET_FILES_DIR.") % {"name": name})
        content = _bytes(path)
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        raise _missing_file(name) from None
    if len(content) > MAX_BYTES:
        sentence = _("the file %(name)s is longer than %(most)d bytes.")
        raise Missing(sentence % {"name": name, "most": MAX_BYTES})
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Missing(_("the file %(name)s is no text in UTF-8.") % {"name": name}) from None
    return text[:-1].removesuffix("\r") if text.endswith("\n") else text


def _bytes(path: Path) -> bytes:
    # Opening a pipe would wait for who writes to it.
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError("no file")
        return file.read(MAX_BYTES + 1)


def _missing_variable(name: str) -> Missing:
    sentence = _(
        "the environment variable %(name)s is not set where this runs. Set it for the site and "
        "for every worker, and start them again."
    )
    return Missing(sentence % {"name": name})


def _missing_file(name: str) -> Missing:
    sentence = _(
        "the file %(name)s in SECRET_FILES_DIR is empty, or cannot be read where this runs. Put "
        "it there for the site and for every worker."
    )
    return Missing(sentence % {"name": name})


#: Folders and a name; nothing that begins with a dot, so neither “..” nor what is hidden.
_FILE = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*")
