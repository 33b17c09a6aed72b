"""What a preview says to people, in the language of who asks; finding it out is elsewhere."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from pipelines.choices import Publish
from runner.plan import Method, Mode, Nulls
from runner.preflight.costs import MOST_TABLES, Plan, Weight
from runner.preflight.keys import SECONDS_FOR_NULLS, KeyFacts, Reading
from runner.preflight.looking import Trouble
from runner.preflight.preview import Preview


@dataclass(frozen=True, kw_only=True)
class Fact:
    """An answer about the incremental key: `holds` is None where it cannot be known.

    `name` is a word for programs: indexed, never_null or unique. `advice` is SQL that would help.
    """

    name: str
    label: str
    holds: bool | None
    sentence: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Telling:
    """The sentences on each part of a preview; none where the part is not there.

    `rows` stands in place of rows.
    """

    transfer: str
    target: tuple[str, ...]
    method: str
    method_reasons: tuple[str, ...]
    rows: str = ""
    weight: str = ""
    plan: tuple[str, ...] = ()
    key: tuple[Fact, ...] = ()


def tell(preview: Preview) -> Telling:
    """The preview in words."""
    return Telling(
        transfer=_transfer(preview),
        target=tuple(_target(preview)),
        method=_method(preview),
        method_reasons=tuple(_reasons(preview)),
        rows=_rows(preview),
        weight=str(_WEIGHTS[preview.plan.weight]) if preview.plan else "",
        plan=tuple(_plan(preview)),
        key=tuple(_key(preview, preview.key)) if preview.key else (),
    )


# Columns and rows.


def _transfer(preview: Preview) -> str:
    if preview.as_bytes:
        return _("All values pass as the bytes that they are, without becoming text.")
    names = _listed(shown.name for shown in preview.columns if not shown.as_bytes)
    return _("All values pass as text, because of the types of %(columns)s.") % {"columns": names}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_("“%(name)s”") % {"name": name} for name in names)


def _rows(preview: Preview) -> str:
    if preview.rows_trouble is not None:
        late = _(
            "The first rows took longer than %(seconds)s s, so none are shown. A run has no such "
            "limit; the plan says what takes long."
        )
        return _because(preview.rows_trouble, late)
    if preview.rows == ():
        return _("The query returns no rows at the moment.")
    return ""


def _because(trouble: Trouble, late: str) -> str:
    return trouble.sentence or late % {"seconds": f"{trouble.seconds:g}"}


# The plan.


def _plan(preview: Preview) -> Iterator[str]:
    if preview.plan_trouble is not None:
        late = _("The planner took longer than %(seconds)s s, so it is not known what to expect.")
        yield _because(preview.plan_trouble, late)
    if (plan := preview.plan) is None:
        return
    yield str(_WEIGHED[plan.weight])
    yield _expected(plan)
    for table in plan.whole_tables[:MOST_TABLES]:
        facts = {"table": table.name, "count": _about(table.rows)}
        yield _("It reads the whole of %(table)s, about %(count)s rows.") % facts
    if more := len(plan.whole_tables[MOST_TABLES:]):
        yield ngettext(
            "It reads the whole of %(count)d more large table.",
            "It reads the whole of %(count)d more large tables.",
            more,
        ) % {"count": more}
    if plan.sorted_rows:
        yield _("It sorts about %(count)s rows.") % {"count": _about(plan.sorted_rows)}
    if not plan.whole_tables and not plan.sorted_rows:
        yield _("It reads no large table as a whole, and sorts nothing large.")
    if preview.definition.mode is Mode.INCREMENTAL:
        yield _("This is the work of the first run, which reads everything.")


def _expected(plan: Plan) -> str:
    facts = {"count": _about(plan.rows), "size": _size(plan.size)}
    return (
        ngettext(
            "PostgreSQL expects about %(count)s row (%(size)s).",
            "PostgreSQL expects about %(count)s rows (%(size)s).",
            _rounded(plan.rows),
        )
        % facts
    )


def _about(number: int) -> str:
    return formats.number_format(_rounded(number), force_grouping=True)


def _rounded(number: int) -> int:
    """An estimate, without digits that mean nothing."""
    return round(number, -max(0, len(str(number)) - 2))


def _size(size: int) -> str:
    amount, units = float(size), [_("B"), _("kB"), _("MB"), _("GB"), _("TB")]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{_about(round(amount))} {units[0]}"


_WEIGHTS = {
    Weight.LIGHT: gettext_lazy("light"),
    Weight.MODERATE: gettext_lazy("moderate"),
    Weight.HEAVY: gettext_lazy("heavy"),
}
_WEIGHED = {
    Weight.LIGHT: gettext_lazy("The source has little to do: it should take a moment."),
    Weight.MODERATE: gettext_lazy("The source has some work to do: seconds rather than minutes."),
    Weight.HEAVY: gettext_lazy("The source has much to do: it may be busy for minutes or longer."),
}


# The incremental key.


def _key(preview: Preview, facts: KeyFacts) -> Iterator[Fact]:
    order = preview.findings.order
    names = {"key": order[0], "order": ", ".join(order)}
    yield Fact(
        name="indexed",
        label=_("Indexed"),
        holds=_SERVED.get(facts.reading),
        sentence=_READINGS[facts.reading] % names,
        advice=facts.advice,
    )
    yield Fact(
        name="never_null",
        label=_("Never NULL"),
        holds=None if facts.placeless is None else not facts.placeless,
        sentence=_nulls(preview, facts) % {**names, "seconds": f"{SECONDS_FOR_NULLS:g}"},
    )
    yield Fact(
        name="unique",
        label=_("Unique together with the key"),
        holds=facts.unique,
        sentence=_UNIQUE[facts.unique] % {**names, "index": facts.unique_index},
    )


def _nulls(preview: Preview, facts: KeyFacts) -> str:
    if facts.placeless is None:
        return _(
            "Whether rows have NULL or an infinite value in “%(key)s” could not be found out "
            "within %(seconds)s s."
        )
    if not facts.placeless:
        return _("No row has NULL or an infinite value in “%(key)s”.")
    return str(_NULLS[preview.definition.null_policy])


_NULLS = {
    Nulls.FAIL: gettext_lazy(
        "Rows have NULL or an infinite value in “%(key)s”, and this pipeline stops at them. "
        "Leave them out in the query, or choose another policy for them."
    ),
    Nulls.INCLUDE: gettext_lazy(
        "Rows have NULL or an infinite value in “%(key)s”: every run moves them again."
    ),
    Nulls.EXCLUDE: gettext_lazy(
        "Rows have NULL or an infinite value in “%(key)s”: they are left out."
    ),
}
_SERVED: dict[Reading | None, bool | None] = {
    Reading.INDEX: True,
    Reading.NOTHING: True,
    Reading.WHOLE_INDEX: False,
    Reading.EVERYTHING: False,
}
_READINGS = {
    Reading.INDEX: gettext_lazy(
        "An index of the source gives the rows in the order of “%(key)s”, so that a run reads only "
        "what is new."
    ),
    Reading.NOTHING: gettext_lazy("There are no tables to read here, so none needs an index."),
    Reading.SORT: gettext_lazy(
        "Each run sorts what it reads by (%(order)s); an index may help to find what is new."
    ),
    Reading.WHOLE_INDEX: gettext_lazy(
        "An index gives the order of “%(key)s”, but every run reads it from its beginning: the "
        "query does something with all of its rows (a window function, DISTINCT or LIMIT?)."
    ),
    Reading.EVERYTHING: gettext_lazy(
        "No index of the source gives the order of (%(order)s), so every run reads and sorts all "
        "that the query returns."
    ),
    None: gettext_lazy("The planner was not able to say whether an index helps."),
}
_UNIQUE = {
    True: gettext_lazy(
        "The unique index “%(index)s” keeps two rows from having the same values of (%(order)s)."
    ),
    False: gettext_lazy(
        "No unique index keeps two rows from having the same values of (%(order)s). If two have, "
        "one of them overwrites the other, or is passed over."
    ),
    None: gettext_lazy(
        "Whether two rows can have the same values of (%(order)s) cannot be known without reading "
        "everything."
    ),
}


# The target.


def _target(preview: Preview) -> Iterator[str]:
    table = {"table": preview.definition.target_table}
    if preview.ddl is not None:
        yield _("The table %(table)s does not exist yet. The first run creates it:") % table
        return
    yield _("The table %(table)s exists, and each column of the query finds its own.") % table
    if preview.unfilled:
        names = _listed(preview.unfilled)
        yield _("Columns of it that the query does not fill: %(columns)s.") % {"columns": names}


def _method(preview: Preview) -> str:
    if preview.definition.mode is Mode.INCREMENTAL:
        key = ", ".join(preview.findings.key)
        return _("Each batch is merged into the table by its key (%(key)s).") % {"key": key}
    label = Publish(str(preview.findings.method)).label
    return _("A full load becomes visible by %(method)s.") % {"method": label}


def _reasons(preview: Preview) -> Iterator[str]:
    definition, findings = preview.definition, preview.findings
    if definition.mode is Mode.INCREMENTAL:
        yield _("Rows that did not change are not written, and none is deleted.")
        return
    if definition.publish is not Method.AUTO:
        yield _("It is what this pipeline is set to.")
    elif preview.ddl is not None:
        yield _("There is no table yet that anything could depend on.")
    elif findings.method is Method.SWAP:
        yield _("Nothing depends on the table, and a new one can be made exactly like it.")
    else:
        for obstacle in preview.obstacles:
            yield _("No swap, because %(obstacle)s.") % {"obstacle": obstacle}
        yield _by_key(preview)


def _by_key(preview: Preview) -> str:
    if preview.findings.method is Method.REPLACE:
        return _("No key is known that would tell which rows are the same.")
    key = ", ".join(preview.findings.key)
    return _("The key (%(key)s) tells which rows are the same.") % {"key": key}
