"""How much may be searched for at once: each word is one more condition on every row."""

MOST_SEARCHED = 200
MOST_WORDS = 20


def shortened(text: str) -> str:
    """As much of it as is searched for."""
    return " ".join(text[:MOST_SEARCHED].split()[:MOST_WORDS])


def is_too_long(text: str) -> bool:
    """Whether only a part of it is searched for."""
    return len(text) > MOST_SEARCHED or len(text.split()) > MOST_WORDS
