"""Encryption of stored passwords, Fernet with a list of keys; who may read them is not here."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables


class Unreadable(Exception):
    """A password cannot be had now; the message is a sentence for a person."""


class WrongKey(Unreadable):
    """None of ENCRYPTION_KEYS opens a secret."""

    def __str__(self) -> str:
        if self.args:
            return str(self.args[0])
        return _(
            "None of ENCRYPTION_KEYS opens this secret; restore the key, or enter the secret again."
        )


@sensitive_variables()
def encrypt(plain: str) -> str:
    """The secret under the first key of ENCRYPTION_KEYS; an empty secret stays empty."""
    return _box().encrypt(plain.encode()).decode() if plain else ""


@sensitive_variables()
def decrypt(stored: str) -> str:
    """The plain secret. Raises WrongKey rather than ever giving back what is stored."""
    if not stored:
        return ""
    try:
        return _box().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise WrongKey from None


@sensitive_variables()
def renew(stored: str) -> str:
    """The same secret under the first key. Raises WrongKey."""
    return encrypt(decrypt(stored))


def opens(stored: str) -> bool:
    """True when one of the keys opens it."""
    try:
        decrypt(stored)
    except WrongKey:
        return False
    return True


def is_current(stored: str) -> bool:
    """True when the first key alone opens it, so that the others are not needed for it."""
    try:
        Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(stored.encode())
    except InvalidToken:
        return not stored
    return True


@sensitive_variables()
def check_keys(keys: Sequence[str]) -> None:
    """Raises ValueError, with a sentence, unless there is a key and each is a Fernet key."""
    if not keys:
        raise ValueError("ENCRYPTION_KEYS is empty: give at least one Fernet key.")
    for position, key in enumerate(keys, start=1):
        try:
            Fernet(key)
        except ValueError:
            raise ValueError(
                f"Key {position} of ENCRYPTION_KEYS is not a Fernet key (32 bytes in URL-safe "
                "base64). Make one with: python -c 'from cryptography.fernet import Fernet; "
                "print(Fernet.generate_key().decode())'"
            ) from None


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
