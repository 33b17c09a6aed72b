"""What people can ask of a row: the value that describes one verb, and how a refusal is said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from django.http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class Refused(Exception):
    """It cannot be done as things stand; the sentence tells people why."""

    def __init__(self, sentence: "StrOrPromise") -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Answer(NamedTuple):
    """What was done, in a sentence, and what people should know of it; `page` is the address that
    shows it, if one does."""

    sentence: "StrOrPromise"
    warnings: tuple[str, ...] = ()
    page: str = ""


def _always(_row: Any) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A button on a row's page with an address of its own, and an action on the list.

    `permission` is a key of `permissions.VERBS`. `act` does it, or raises Refused. `fits` hides
    the button where it would only be refused. `said` is the sentence for `count` rows, and with
    `says_each` each row has its own answer (neither: not offered for many). `question` names the
    template of the page that asks first; `form` answers at the address in its place where there
    is more to ask than whether.
    """

    name: str
    permission: str
    label: "StrOrPromise"
    icon: str
    act: Callable[[HttpRequest, Any], Answer]
    fits: Callable[[Any], bool] = _always
    said: Callable[[int], str] | None = None
    says_each: bool = False
    question: str = ""
    form: Callable[[Any, HttpRequest, Any], HttpResponse] | None = None
    variant: str = "default"

    @property
    def asks(self) -> bool:
        """Whether a page comes first."""
        return bool(self.question or self.form)

    @property
    def is_for_many(self) -> bool:
        """Whether a list offers it."""
        return self.says_each or self.said is not None


@dataclass(frozen=True, kw_only=True)
class Button:
    """A verb as a template draws it: a form that posts to `url`, or a link to its question."""

    name: str
    label: "StrOrPromise"
    icon: str
    url: str
    asks: bool
    variant: str

    @property
    def attributes(self) -> dict[str, str]:
        """Of the element: one with an id keeps the focus when the panel around it is replaced."""
        return {"id": f"etl-do-{self.name}"}
