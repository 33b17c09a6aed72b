"""What the servers say of a definition in a form, and how their findings are told to people."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pipelines import limits
from pipelines.admin.said import said
from pipelines.admin.verbs import Refused
from pipelines.busy import Busy, alone
from pipelines.choices import Mode, Publish
from pipelines.models import USUAL_SAMPLE, Connection, Pipeline, Reconciliation
from pipelines.secrets import Unreadable
from runner import preflight, reconcile


class ComparisonFailed(Refused):
    """Two sides could not be compared; `kept` is the comparison that says so."""

    def __init__(self, sentence: str, kept: Reconciliation) -> None:
        super().__init__(said(sentence))
        self.kept = kept


def inspect(values: Mapping[str, Any], *, by: Any) -> preflight.Findings:
    """Ask both servers about a definition, running nothing. Raises preflight.Rejected."""
    try:
        limits.spend(by, "check")
        definition = _definition(values)
        sides = (values["source_connection"], values["target_connection"])
        with alone(*sides, to_save=True):
            return preflight.inspect(definition)
    except (limits.LimitReached, Busy) as refused:
        raise preflight.Rejected({"": [refused.sentence]}) from refused


def validate(values: Mapping[str, Any]) -> preflight.Preview:
    """As `inspect`, with what people look at beside it. Raises preflight.Rejected."""
    return preflight.validate(_definition(values))


def preview(values: Mapping[str, Any]) -> preflight.Preview:
    """As `validate`, with the first rows, the plan and the key; one at a time per connection.

    Raises preflight.Rejected and Busy.
    """
    definition = _definition(values)
    with alone(values["source_connection"], values["target_connection"]):
        return preflight.preview(definition)


def test(connection: Connection) -> preflight.ConnectionReport:
    """Try to sign in; never raises for what the server does."""
    try:
        return preflight.test_connection(preflight.address_of(connection))
    except Unreadable as error:
        return preflight.ConnectionReport(ok=False, sentence=str(error))


def compare(
    pipeline: Pipeline,
    *,
    by: Any,
    level: reconcile.Level = reconcile.Level.COUNT,
    sample: int = USUAL_SAMPLE,
    tolerances: Mapping[str, float] | None = None,
) -> Reconciliation:
    """Compare source and target now, or ask a worker to. Raises Refused, and ComparisonFailed of
    what was compared now."""
    try:
        return reconcile.ask(
            pipeline, level=level, sample=sample, tolerances=tolerances or {}, by=by
        )
    except Busy as busy:
        raise Refused(busy.sentence) from busy
    except (reconcile.ReconcileFailed, preflight.Rejected) as failed:
        sentence = str(failed)
        rows = Reconciliation.objects.filter(pipeline=pipeline, requested_by=by)
        kept = rows.filter(error_message=sentence).first()
        if kept is None:
            raise Refused(said(sentence)) from failed
        raise ComparisonFailed(sentence, kept) from failed


def told(findings: preflight.Findings, values: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what the next run will do, warnings apart."""
    if findings.creates is not None:
        yield _creation(findings, values["target_table"])
    if values["mode"] == Mode.FULL:
        yield _("A full load becomes visible by %(method)s.") % {
            "method": Publish(str(findings.method)).label
        }
    if findings.promise:
        yield said(findings.promise)


def _definition(values: Mapping[str, Any]) -> Any:
    source, target = values["source_connection"], values["target_connection"]
    _open_secret("source_connection", source)
    _open_secret("target_connection", target)
    return preflight.definition_from(values, source=source, target=target)


def _open_secret(field: str, connection: Connection) -> None:
    try:
        preflight.address_of(connection)
    except Unreadable as error:
        raise preflight.Rejected({field: [str(error)]}) from error


def _creation(findings: preflight.Findings, table: str) -> str:
    count = len(findings.columns)
    sentence = ngettext(
        "The table %(table)s does not exist yet: the first run makes it, with %(count)d column.",
        "The table %(table)s does not exist yet: the first run makes it, with %(count)d columns.",
        count,
    ) % {"table": table, "count": count}
    if not findings.key:
        return sentence
    key = _("Its primary key will be (%(key)s).") % {"key": ", ".join(findings.key)}
    return f"{sentence} {key}"
