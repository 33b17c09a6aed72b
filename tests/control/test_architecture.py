"""Which way imports flow, who writes the lifecycle's columns, and how large a file may be."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("etl_admin", "pipelines", "runner")
MOST_LINES = 300

#: The only rooms of the control plane that ask the data plane, and what they may ask.
ASKING = ("pipelines.api", "pipelines.admin")
ASKED = ("runner.preflight", "runner.reconcile")

#: Where the runner meets Django; everything else of it must work without.
KNOWING_DJANGO = {
    "runner.addresses",
    "runner.apps",
    "runner.doorbell",
    "runner.execution",
    "runner.heartbeat",
    "runner.housekeeping",
    "runner.management.commands.runpipelines",
    "runner.preflight",
    "runner.preflight.words",
    "runner.processes",
    "runner.reconcile",
    "runner.worker",
}

LIFECYCLE_COLUMNS = {
    "status",
    "generation",
    "attempt",
    "worker",
    "worker_id",
    "lease_until",
    "next_attempt_at",
    "cancel_requested_at",
    "requested_at",
    "requested_by",
    "requested_by_id",
    "trigger",
    "checkpoint_epoch",
    "status_changed_at",
}
WRITERS = ("pipelines.lifecycle", "pipelines.querysets", "pipelines.migrations")
WRITING_CALLS = {
    "update",
    "create",
    "save",
    "get_or_create",
    "update_or_create",
    "bulk_create",
    "bulk_update",
    "setattr",
    "Pipeline",
    "PipelineRun",
}
#: Values with such attributes of their own: an error, what a run shares with its heartbeat, a bar.
NOT_ROWS = {"self", "control", "progress"}


def files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in files(*PACKAGES)}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """Everything imported anywhere in the module: in functions and under TYPE_CHECKING too.

    Each as module, or module.name where that is a name in a module.
    """
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


@cache
def imported_modules(module: str) -> frozenset[str]:
    """Our own modules among the imports."""
    candidates = {name if name in MODULES else name.rpartition(".")[0] for name in imports(module)}
    return frozenset(candidates & MODULES.keys())


def is_in(name: str, *rooms: str) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def exported(module: str) -> set[str]:
    for node in tree(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no __all__")


def test_the_control_plane_asks_the_data_plane_in_two_places_only() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        if is_in(module, "pipelines", "etl_admin")
        for name in imports(module)
        if is_in(name, "runner")
        and not (is_in(module, *ASKING) and {name, name.rpartition(".")[0]} & set(ASKED))
    ]

    assert wrong == []


def asked_names(module: str, asked: str) -> set[str]:
    """What `module` takes from `asked`: by `from asked import x`, or as `asked.x`."""
    short = asked.rpartition(".")[2]
    by_name = {name.rpartition(".")[2] for name in imports(module) if name.startswith(f"{asked}.")}
    if asked not in imports(module):
        return by_name
    return by_name | {
        node.attr
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == short
    }


def test_the_control_plane_uses_only_what_the_data_plane_exports() -> None:
    wrong = {
        f"{module}: {asked}": names
        for module in MODULES
        if is_in(module, *ASKING)
        for asked in ASKED
        if (names := asked_names(module, asked) - exported(asked))
    }

    assert wrong == {}


def test_the_embedded_database_knows_nothing_of_the_product() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        if is_in(module, "etl_admin.database")
        for name in imported_modules(module)
        if not is_in(name, "etl_admin.database")
    ]

    assert wrong == []


def test_settings_are_asked_of_django_only() -> None:
    wrong = [module for module in MODULES if "etl_admin.settings" in imported_modules(module)]

    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module in done:
            return
        for name in sorted(imported_modules(module)):
            walk(name, (*path, module))
        done.add(module)

    for module in MODULES:
        walk(module, ())


@pytest.mark.parametrize(
    "module",
    [name for name in MODULES if is_in(name, "runner") and name not in KNOWING_DJANGO],
)
def test_the_data_plane_works_without_django(module: str) -> None:
    reached, left = set(), [module]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += imported_modules(name)

    knowing = {
        name
        for name in reached
        if any(is_in(used, "django", "rest_framework") for used in imports(name))
    }

    assert knowing == set()


def test_what_is_said_to_know_django_does() -> None:
    assert MODULES.keys() >= KNOWING_DJANGO


def written_columns(node: ast.AST) -> set[str]:
    """Lifecycle columns that this node assigns, or hands to a call that stores rows."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {
            part.attr
            for target in targets
            for part in ast.walk(target)
            if isinstance(part, ast.Attribute)
            and isinstance(part.ctx, ast.Store)
            and ast.unparse(part.value).rpartition(".")[2] not in NOT_ROWS
        } & LIFECYCLE_COLUMNS
    if not isinstance(node, ast.Call):
        return set()
    receiver, _, called = ast.unparse(node.func).rpartition(".")
    if called not in WRITING_CALLS or receiver in NOT_ROWS:
        return set()
    named = {keyword.arg for keyword in node.keywords if keyword.arg}
    # update_fields=["status"], defaults={"status": …}, **{"status": …}, setattr(row, "status", …)
    values = [*node.args, *(keyword.value for keyword in node.keywords)]
    spelled = {
        part.value
        for value in values
        if isinstance(value, ast.List | ast.Tuple | ast.Set | ast.Dict) or called == "setattr"
        for part in (value.keys if isinstance(value, ast.Dict) else ast.walk(value))
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }
    return (named | spelled) & LIFECYCLE_COLUMNS


def test_only_the_lifecycle_writes_its_columns() -> None:
    wrong = [
        f"{module}:{getattr(node, 'lineno', 0)} writes {', '.join(sorted(columns))}"
        for module in MODULES
        if not is_in(module, *WRITERS)
        for node in ast.walk(tree(module))
        if (columns := written_columns(node))
    ]

    assert wrong == []


@pytest.mark.parametrize(
    "code",
    [
        "pipeline.status = 'IDLE'",
        "self.object.generation += 1",
        "pipeline.status, x = 1, 2",
        "rows.update(status='IDLE')",
        "rows.update(**{'lease_until': None})",
        "Pipeline.objects.create(name='x', attempt=3)",
        "rows.update_or_create(pk=1, defaults={'trigger': 'api'})",
        "pipeline.save(update_fields=['name', 'status'])",
        "Pipeline.objects.bulk_update(rows, ['checkpoint_epoch'])",
        "setattr(pipeline, 'status', value)",
        "Pipeline(status='RUNNING')",
    ],
)
def test_a_write_to_a_lifecycle_column_is_noticed(code: str) -> None:
    found = [written_columns(node) for node in ast.walk(ast.parse(code))]

    assert any(found)


@pytest.mark.parametrize(
    "code",
    [
        "control.generation = 3",
        "progress.update(bar, status='done')",
        "self.status = status",
        "rows.filter(status='IDLE').update(description='')",
        "Response({'status': pipeline.status}, status=202)",
        "print(pipeline.status)",
    ],
)
def test_reading_a_lifecycle_column_is_nobodys_business(code: str) -> None:
    found = [written_columns(node) for node in ast.walk(ast.parse(code))]

    assert not any(found)


def test_no_file_is_longer_than_one_can_read_at_a_sitting() -> None:
    lengths = {
        str(path.relative_to(ROOT)): path.read_text("utf-8").count("\n")
        for path in [*files(*PACKAGES, "bench"), ROOT / "manage.py"]
    }

    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_every_module_says_what_lives_in_it() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in [*files(*PACKAGES, "bench", "tests"), ROOT / "manage.py"]
        if "migrations/0001" not in str(path)
        and (text := path.read_text("utf-8").strip())
        and not ast.get_docstring(ast.parse(text))
    ]

    assert silent == []
