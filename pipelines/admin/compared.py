"""What a comparison found, in words and figures; the page with them is in `reconciliation`."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext, pgettext_lazy

from pipelines.admin import cells
from pipelines.admin.worker import alive
from pipelines.choices import ReconciliationLevel, ReconciliationStatus
from pipelines.models import Reconciliation

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: The levels in a word.
LEVELS: "dict[str, StrOrPromise]" = {
    ReconciliationLevel.COUNT: pgettext_lazy("level of a comparison", "Counts"),
    ReconciliationLevel.CHECKSUM: pgettext_lazy("level of a comparison", "Checksums"),
    ReconciliationLevel.ROWS: pgettext_lazy("level of a comparison", "Rows"),
}
#: What can be wrong with a row, in a word.
KINDS: "dict[str, StrOrPromise]" = {
    "missing": pgettext_lazy("rows of a comparison", "missing"),
    "extra": pgettext_lazy("rows of a comparison", "extra"),
    "different": pgettext_lazy("rows of a comparison", "different"),
}
#: The same, in a sentence.
EXPLAINED: "dict[str, StrOrPromise]" = {
    "missing": gettext_lazy("In the source, but not in the target."),
    "extra": gettext_lazy("In the target, but not in the source."),
    "different": gettext_lazy("On both sides, with other values."),
}
#: What who compares says that it is doing.
_PHASES: "dict[str, StrOrPromise]" = {
    "counting": gettext_lazy("Looking at both sides as a whole."),
    "summing": gettext_lazy("Summing up range after range of keys on both sides."),
    "looking at rows": gettext_lazy("Looking for the rows that differ."),
}
#: Codes of errors that stay until somebody changes the pipeline.
_OF_THE_DEFINITION = ("query_failed", "invalid")
_COLOURS = {
    ReconciliationStatus.REQUESTED: "info",
    ReconciliationStatus.RUNNING: "info",
    ReconciliationStatus.OK: "success",
    ReconciliationStatus.WARNING: "warning",
    ReconciliationStatus.FAILED: "danger",
    ReconciliationStatus.CANCELLED: "default",
}


class Figure(NamedTuple):
    """A number with what it counts; `hint` explains it."""

    label: str
    value: str
    hint: "StrOrPromise" = ""
    is_nothing: bool = False


class Progress(NamedTuple):
    """How far it is; `percent` is None while nobody knows."""

    sentence: "StrOrPromise"
    percent: int | None
    rows: str


def badge(row: Reconciliation) -> SafeString:
    """Where it stands, or what it found."""
    status = ReconciliationStatus(row.status)
    return cells.badge(status.label, _COLOURS[status])


def total(row: Reconciliation) -> int:
    """How many rows differ, of a comparison that looked for them."""
    return sum(count or 0 for count in row.counts().values())


def sentence(row: Reconciliation) -> str:
    """Where it stands, or what it found, in one sentence. Asks for the workers while it waits."""
    said: dict[str, Callable[[Reconciliation], str]] = {
        ReconciliationStatus.REQUESTED: _waiting,
        ReconciliationStatus.RUNNING: _running,
        ReconciliationStatus.OK: _equal,
        ReconciliationStatus.WARNING: _differing,
        ReconciliationStatus.FAILED: lambda _row: _("It could not be made."),
        ReconciliationStatus.CANCELLED: lambda _row: _("It was cancelled before it was done."),
    }
    return said[ReconciliationStatus(row.status)](row)


def _waiting(_row: Reconciliation) -> str:
    if not alive().exists():
        return _(
            "It waits for a worker, but no worker is there to take it. "
            "Start one: python manage.py runpipelines"
        )
    return _("It waits for a worker. You may leave this page meanwhile.")


def _running(row: Reconciliation) -> str:
    if row.cancel_requested_at is not None:
        return _("It is being cancelled.")
    return _("Source and target are being compared. You may leave this page meanwhile.")


def _equal(row: Reconciliation) -> str:
    count = row.source_count or 0
    if count == 0:
        return _("Neither side has a row.")
    facts = {"count": cells.number(count)}
    if row.level == ReconciliationLevel.COUNT:
        return ngettext(
            "Both sides have %(count)s row.", "Both sides have %(count)s rows.", count
        ) % (facts)
    return (
        ngettext("The %(count)s row is the same.", "All %(count)s rows are the same.", count)
        % facts
    )


def _differing(row: Reconciliation) -> str:
    if row.level == ReconciliationLevel.COUNT:
        return _more(row.difference or 0)
    if row.level == ReconciliationLevel.ROWS and row.missing is not None:
        count = total(row)
        return ngettext("%(count)s row differs.", "%(count)s rows differ.", count) % {
            "count": cells.number(count)
        }
    return _("The rows are not the same.")


def _more(difference: int) -> str:
    count = abs(difference)
    if difference > 0:
        text = ngettext(
            "The source has %(count)s row more than the target.",
            "The source has %(count)s rows more than the target.",
            count,
        )
    else:
        text = ngettext(
            "The target has %(count)s row more than the source.",
            "The target has %(count)s rows more than the source.",
            count,
        )
    return text % {"count": cells.number(count)}


def in_short(row: Reconciliation) -> str:
    """What it found in a few words, for a line of a list."""
    if row.status == ReconciliationStatus.WARNING:
        if total(row):
            return ", ".join(
                _("%(what)s: %(count)s") % {"what": KINDS[kind], "count": cells.number(count)}
                for kind, count in row.counts().items()
                if count
            )
        return _differing(row)
    if row.status == ReconciliationStatus.OK:
        return _equal(row)
    return cells.EMPTY


def advice(row: Reconciliation) -> str:
    """What to do next, if there is something."""
    if row.status == ReconciliationStatus.CANCELLED:
        return _("Nothing was kept of it. Compare again when it suits.")
    if row.error_code in _OF_THE_DEFINITION:
        return _("Correct the pipeline's definition, then compare again.")
    if row.status == ReconciliationStatus.OK and row.level == ReconciliationLevel.COUNT:
        return _("As many rows need not be the same rows: compare checksums or rows to know.")
    if row.status == ReconciliationStatus.WARNING and row.level != ReconciliationLevel.ROWS:
        return _("Compare rows to see which ones, and in which columns.")
    return ""


def closer(row: Reconciliation) -> str:
    """The level at which more would be known; empty where there is none."""
    has_more = row.level != ReconciliationLevel.ROWS and not row.is_open
    return ReconciliationLevel.ROWS.value if has_more else ""


def progress(row: Reconciliation) -> Progress | None:
    """How far it is while it is being made."""
    if row.status != ReconciliationStatus.RUNNING:
        return None
    words = _PHASES.get(row.phase, _("Connecting to both sides."))
    if not row.rows_of:
        return Progress(words, None, "")
    done = min(row.rows_done, row.rows_of)
    facts = {"done": cells.number(done), "of": cells.number(row.rows_of)}
    return Progress(
        words, 100 * done // row.rows_of, _("%(done)s of about %(of)s rows on both sides") % facts
    )


def figures(row: Reconciliation) -> list[Figure]:
    """Its numbers; none before there is an answer."""
    return list(_figures(row)) if row.source_count is not None else []


def _figures(row: Reconciliation) -> Iterator[Figure]:
    yield Figure(_("Rows in the source"), cells.number(row.source_count))
    yield Figure(_("Rows in the target"), cells.number(row.target_count))
    counts = row.counts()
    for kind, label in zip(KINDS, (_("Missing"), _("Extra"), _("Different")), strict=True):
        if kind in counts:
            number = counts[kind]
            yield Figure(label, cells.number(number), EXPLAINED[kind], not number)
    if not counts and row.difference:
        yield Figure(_("Difference"), f"{row.difference:+d}", _("Source less target."))
    if row.waiting:
        hint = _("The next run loads them, so they were not compared.")
        yield Figure(pgettext("rows", "Waiting"), cells.number(row.waiting), hint)
    yield Figure(_("Took"), cells.duration(row.started_at, row.finished_at))


def facts(row: Reconciliation) -> Iterator[tuple[str, Any]]:
    """What was asked, by whom and when."""
    yield _("Level"), row.get_level_display()
    if row.key:
        yield _("Key columns"), ", ".join(row.key)
    if row.level == ReconciliationLevel.ROWS:
        yield _("Rows to show"), cells.number(row.sample_size)
    if row.tolerances:
        yield (
            _("Tolerances"),
            ", ".join(f"{name} = {number:g}" for name, number in row.tolerances.items()),
        )
    yield _("Asked by"), row.requested_by or cells.EMPTY
    yield _("Requested"), cells.moment(row.requested_at)
    yield _("Started"), cells.moment(row.started_at)
    yield _("Finished"), cells.moment(row.finished_at)
    if row.worker is not None:
        yield _("Worker"), cells.link(cells.page_of(row.worker), row.worker)
