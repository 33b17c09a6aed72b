"""The field that a query is written in: an editor, and a plain text area without JavaScript."""

from typing import Any

from django import forms
from django_ace import AceWidget

from pipelines.admin.theme import Textarea

_LIGHT, _DARK = "github_light_default", "github_dark"


class SqlEditor(AceWidget):  # type: ignore[misc]  # the library has no types
    """Ace with PostgreSQL's words, in the light or dark of the page; `editor.js` sees to that."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(
            mode="pgsql",
            theme=_LIGHT,
            width="100%",
            height="260px",
            wordwrap=True,
            tabsize=4,
            fontsize="13px",
            toolbar=False,
            showprintmargin=False,
            useworker=False,
            useStrictCSP=True,
            attrs=_looks_like_ours(attrs or {}),
        )

    @property
    def media(self) -> forms.Media:
        """What the editor needs, the dark theme and our own script included."""
        theirs: forms.Media = super().media
        return theirs + forms.Media(
            js=[f"django_ace/ace/theme-{_DARK}.js", "pipelines/editor.js"],
            css={"screen": [f"django_ace/ace/css/theme/{_DARK}.css"]},
        )


def _looks_like_ours(attrs: dict[str, Any]) -> dict[str, Any]:
    """The text area that people get without JavaScript, in the theme's look."""
    return dict(Textarea(attrs).attrs)
