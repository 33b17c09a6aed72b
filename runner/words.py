"""What servers and people's names say, made fit to be shown: one line, no control characters."""

import re

MOST = 2000

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
# What moves a terminal's cursor, ends a text, or turns the direction of what follows it.
_CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def plain(text: str, *, most: int = MOST) -> str:
    """`text` on one line of at most `most` characters; markup is left to whoever shows it."""
    # Cut first: a server may send megabytes.
    cut = text[: 2 * most]
    one_line = _BREAKS.sub(" ", _ESCAPES.sub("", cut))
    shown = _CONTROLS.sub("\ufffd", one_line)
    return shown if len(shown) <= most and len(text) == len(cut) else shown[: most - 1] + "…"
