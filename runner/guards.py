"""What refuses a load: each guard looks at what there is and raises RunError with a sentence."""

from pipelines.names import TableName
from runner.connections import Session
from runner.errors import ONCE, USUAL, RunError
from runner.plan import Column, Position
from runner.preflight.table import Table, find_table, swap_obstacles
from runner.staging import Staged
from runner.statements import catalog, load, publish


def check_count(session: Session, staged: Staged) -> None:
    """Never publish less than was staged, whatever happened to the server meanwhile."""
    row = session.execute(load.count(staged.staging)).fetchone()
    if row is None or row[0] != staged.rows:
        raise RunError(
            "The staging table does not hold what was loaded into it; the load starts again.",
            error_class="StagingLost",
            patience=USUAL,
        )


def check_empty(session: Session, staged: Staged) -> None:
    """A source that suddenly returns nothing is far more often a mistake than a wish."""
    if staged.rows or staged.definition.allow_empty:
        return
    row = session.execute(load.has_rows(staged.target)).fetchone()
    if row and row[0]:
        raise RunError(
            f"The query returned no rows, and {staged.target} has some: nothing was changed. "
            "Check the query, or allow an empty result for this pipeline.",
            error_class="EmptySource",
        )


def check_shrink(session: Session, staged: Staged) -> None:
    """A result that lost a large share of its rows is refused where the pipeline sets a limit."""
    limit = staged.definition.max_shrink_percent
    if limit is None or not staged.rows or staged.examined.table is None:
        return  # no limit, or an empty result, which has a guard of its own
    row = session.execute(load.count(staged.target)).fetchone()
    before = int(row[0]) if row else 0
    lost = before - staged.rows
    if lost * 100 > before * limit:
        raise RunError(
            f"The query returned {staged.rows:,} rows and {staged.target} has {before:,}: "
            f"{lost * 100 / before:.1f} % fewer, more than the {limit} % this pipeline allows. "
            "Nothing was changed. Check the query, or raise the limit.",
            error_class="ShrinkRefused",
        )


def check_swappable(session: Session, staged: Staged) -> Table:
    """The table, locked, as it was when the staging table was made like it; nothing hangs on it."""
    table = check_same(session, staged)
    known = staged.examined.table
    if known is None or table.shape != known.shape or swap_obstacles(table):
        raise changed(staged)
    return table


def check_same(session: Session, staged: Staged) -> Table:
    """The table that preflight saw, not another of the same name."""
    table, known = find_table(session, staged.target), staged.examined.table
    if table is None or known is None or table.oid != known.oid:
        raise changed(staged)
    return table


def changed(staged: Staged) -> RunError:
    """Preflight's choice does not hold any more; the next try chooses anew."""
    return RunError(
        f"The table {staged.target} was changed while the load ran: nothing was published.",
        error_class="TargetChanged",
        patience=ONCE,
    )


def check_cascades(session: Session, staged: Staged, table: Table) -> None:
    """Deletes that pass on to other tables' rows are refused unless the pipeline allows them."""
    if staged.definition.allow_cascade:
        return
    for name, schema, child, columns, referenced in session.execute(
        catalog.CASCADES, [table.oid]
    ).fetchall():
        child_name = TableName(schema=schema, name=child)
        statement = publish.referencing(
            child_name,
            list(zip(columns, referenced, strict=True)),
            target=staged.target,
            staging=staged.staging,
            key=staged.key,
        )
        row = session.execute(statement).fetchone()
        if row and row[0]:
            raise RunError(
                f"Rows that the query no longer returns are referred to by {child_name} "
                f"(foreign key “{name}”), and deleting them would change that table: nothing was "
                "changed. Keep them in the query, or allow cascading for this pipeline.",
                error_class="CascadeRefused",
            )


def check_no_heirs(session: Session, staged: Staged, table: Table) -> None:
    """Rows of tables that inherit from the target look like its own, and would be deleted."""
    if not table.facts["has_heirs"]:
        return
    row = session.execute(publish.rows_of_heirs(staged.target)).fetchone()
    if row is not None:
        raise RunError(
            f"The table {row[0]} inherits from {staged.target} and has rows, which this load "
            "would delete: nothing was changed. Choose a target from which no table inherits.",
            error_class="HeirsHaveRows",
        )


def check_result(session: Session, staged: Staged) -> None:
    """A trigger or rule that swallows rows must not pass for a complete load."""
    row = session.execute(load.count(staged.target)).fetchone()
    if row is None or row[0] != staged.rows:
        raise RunError(
            f"After the load {staged.target} would not hold the {staged.rows} rows of the query "
            "(a trigger, a rule, or rows with equal keys?): nothing was changed.",
            error_class="ResultDiffers",
        )


def check_same_order(position: Position | None, column: Column, basis: str) -> None:
    """A position is text of one type, in one order; rows would be on its other side by another."""
    if position is None:
        return
    if position.cursor_type != column.type_name:
        raise RunError(
            f"The incremental key “{column.name}” was {position.cursor_type} and is "
            f"{column.type_name} now. Reset the checkpoint to load everything again, or cast the "
            "column to its old type in the query.",
            error_class="SchemaChanged",
        )
    if position.basis != basis:
        raise RunError(
            "The source puts rows in another order than when the checkpoint was written (was: "
            f"{position.basis or 'nothing special'}; is: {basis or 'nothing special'}). Reset the "
            "checkpoint to load everything again.",
            error_class="SchemaChanged",
        )
