"""Encryption of stored passwords, Fernet with a list of keys; who may read them is not here."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.translation import gettext as _


class WrongKey(Exception):
    """None of ENCRYPTION_KEYS opens a secret."""

    def __str__(self) -> str:
        if self.args:
            return str(self.args[0])
        return _(
            "None of ENCRYPTION_KEYS opens this secret; restore the key, or enter the secret again."
        )


def encrypt(plain: str) -> str:
    """The secret under the first key of ENCRYPTION_KEYS; an empty secret stays empty."""
    return _box().encrypt(plain.encode()).decode() if plain else ""


def decrypt(stored: str) -> str:
    """The plain secret. Raises WrongKey rather than ever giving back what is stored."""
    if not stored:
        return ""
    try:
        return _box().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise WrongKey from None


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
