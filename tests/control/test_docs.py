"""The README says what the code does: settings, lifecycle chart, commands, images."""

import ast
import re
from pathlib import Path

from pipelines.states import MOVES, By

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
READERS = {"text", "choice", "boolean", "number", "count", "items", "url", "directory", "hosts"}
READERS |= {"folder", "prefix"}


def _settings_read() -> set[str]:
    """Names that settings.py asks the environment for."""
    tree = ast.parse((ROOT / "etl_admin" / "settings.py").read_text())
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and node.func.attr in READERS
        and isinstance(node.args[0], ast.Constant)
    }


def test_the_settings_table_names_each_setting_and_no_other() -> None:
    section = README.split("\n## Settings\n")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `([A-Z_]+)` \|", section, flags=re.MULTILINE))
    assert len(listed) > 10
    assert listed == _settings_read()


def test_the_lifecycle_chart_has_each_move_and_no_other() -> None:
    chart = README.split("stateDiagram-v2\n")[1].split("```")[0]
    drawn = set(re.findall(r"^ +(\w+) --> (\w+): (.+)$", chart, flags=re.MULTILINE))
    moves = {
        (source.value, move.target.value, move.event if move.by is By.PERSON else f"({move.event})")
        for move in MOVES
        for source in move.sources
    }
    assert drawn == moves


def test_files_that_the_readme_links_to_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_make_targets_that_the_readme_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake (\w+)\b", README)) - {"are"}
    assert {"demo", "test"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
