"""Log lines that nobody else can write: whatever a server or a person says stays on its line."""

import logging


class OneLine(logging.Formatter):
    """Escapes what is not printable; a traceback's lines are indented, so none looks like ours."""

    def format(self, record: logging.LogRecord) -> str:
        """One line for the message, then those of a traceback."""
        first, *more = super().format(record).split("\n")
        return "\n".join([first, *(f"    {_printable(line)}" for line in more)])

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's own name)
        """The line without traceback, its breaks escaped."""
        return _printable(super().formatMessage(record))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
