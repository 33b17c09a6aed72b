"""The runner's sentences as messages: it knows no Django and stores English, the admin translates.

Every literal for people becomes a message of the context `runner`, one message per sentence: an
f-string's values become placeholders named after what is put in. `pipelines.admin.said` finds
them again in what was stored.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

CONTEXT = "runner"
#: Where a sentence ends and the next begins; `pipelines.admin.said` cuts in the same way.
BORDER = re.compile(r"(?<=[.?!]) (?=[A-Z“])")

#: Values of which there are few, and whose words other languages decline.
_EXPANDED: dict[str, tuple[str, ...]] = {
    "side": ("source", "target"),
    "form": ("binary", "text"),
    "publish": ("swap", "merge", "replace"),
}
#: Nothing of these is shown: SQL, logs, the command's own words, the names in a planner's answer.
_SKIPPED = (
    *("management", "statements", "silence.py", "processes.py", "housekeeping.py"),
    *("costs.py", "keys.py", "kinds.py"),
)
#: Phrases that are not for people.
_NOT_SHOWN = {
    "PostgreSQL {parameter_status}",
    "read committed",
    "looking at rows",
    "timestamp with time zone",
    "1 second",
    "no time",
    "none yet",
    "sign in",
    "multiple commands",
    "Future[tuple[str, ...]]",
    "The claim",
    "Run {pk}",
    "Pipeline {name}, run {run}",
    "{run} of “{name}” (generation {generation})",
}
#: PostgreSQL's words for what is wrong with a value, as `runner.errors` takes them from a class.
_WORDS = (
    "array subscript error",
    "bad copy file format",
    "character not in repertoire",
    "datetime field overflow",
    "division by zero",
    "interval field overflow",
    "invalid argument for logarithm",
    "invalid argument for power function",
    "invalid binary representation",
    "invalid datetime format",
    "invalid json text",
    "invalid parameter value",
    "invalid regular expression",
    "invalid text representation",
    "invalid time zone displacement value",
    "numeric value out of range",
    "string data right truncation",
    "substring error",
    "untranslatable character",
)
#: PostgreSQL's descriptions of what depends on a table (pg_describe_object).
_THINGS = (
    "constraint {name} on table {table}",
    "view {name}",
    "materialized view {name}",
    "function {name}",
    "procedure {name}",
    "sequence {name}",
    "table {name}",
    "type {name}",
    "policy {name} on table {table}",
    "publication of table {table} in publication {name}",
    "rule {name} on materialized view {table}",
    "rule {name} on table {table}",
    "rule {name} on view {table}",
    "trigger {name} on table {table}",
)
#: What neither raises nor logs for people.
_QUIET = {
    "AssertionError",
    "OSError",
    "OperationalError",
    "RuntimeError",
    "TypeError",
    "ValueError",
    "Way",
    "run_all",
}
_QUIET |= {"compile", "match", "search"}
_QUIET |= {"critical", "debug", "error", "exception", "info", "warning"}


def sentences(root: Path, paths: list[Path]) -> Iterator[tuple[str, str, Path]]:
    """Each sentence or phrase, the whole text that it is from, and its file below `root`."""
    for words in (*_WORDS, *_THINGS):
        yield words, words, Path("runner/errors.py")
    for path in paths:
        if set(path.parts) & {*_SKIPPED}:
            continue
        for text in _texts(ast.parse((root / path).read_text("utf-8"))):
            for sentence in _parts(text):
                if _is_for_people(sentence):
                    yield sentence, text, path


def _texts(tree: ast.Module) -> Iterator[str]:
    silent = {id(node) for quiet in _quiet(tree) for node in ast.walk(quiet)}
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        if isinstance(node, ast.JoinedStr):
            silent |= {id(part) for part in _literal_parts(node)}
            yield from _filled(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield _numbered(node.value)


def _quiet(tree: ast.Module) -> Iterator[ast.AST]:
    """Docstrings, assertions, and calls that say nothing to people."""
    for node in ast.walk(tree):
        match node:
            case ast.Assert() | ast.Expr(value=ast.Constant()):
                yield node
            case ast.Call(func=function) if _name_of(function) in _QUIET:
                yield node


def _literal_parts(node: ast.JoinedStr) -> Iterator[ast.AST]:
    for part in node.values:
        if isinstance(part, ast.Constant):
            yield part
        elif isinstance(part, ast.FormattedValue) and part.format_spec is not None:
            yield from ast.walk(part.format_spec)


def _filled(node: ast.JoinedStr) -> Iterator[str]:
    """The f-string with placeholders; as often as its declined values have words."""
    pieces: list[tuple[str, ...]] = []
    seen: Counter[str] = Counter()
    for part in node.values:
        if isinstance(part, ast.Constant):
            pieces.append((str(part.value),))
        elif isinstance(part, ast.FormattedValue):
            name = _name_of(part.value)
            seen[name] += 1
            numbered = name if seen[name] == 1 else f"{name}_{seen[name]}"
            pieces.append(_EXPANDED.get(name) or (f"{{{numbered}{_number_format(part)}}}",))
    yield from ("".join(one) for one in product(*pieces))


def _number_format(part: ast.FormattedValue) -> str:
    spec = ast.unparse(part.format_spec)[2:-1] if part.format_spec is not None else ""
    return f":{spec}" if spec and "%" not in spec else ""


def _name_of(node: ast.AST) -> str:  # noqa: PLR0911 (a line for each kind of expression)
    """What a value is called: the last name in the expression that says something."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.lstrip("_")
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Subscript(value=value):
            return _name_of(value)
        case ast.Call(func=ast.Name(id="len")):
            return "count"
        case ast.Call(func=ast.Attribute(attr="strip" | "rstrip", value=value)):
            return _name_of(value)
        case ast.Call(func=ast.Attribute(attr="join") | ast.Name(id="_listed"), args=[first, *_]):
            return _name_of(first)
        case ast.Call(func=function):
            return _name_of(function)
        case ast.BoolOp(values=[first, *_]) | ast.BinOp(left=first):
            return _name_of(first)
    return "value"


def _numbered(text: str) -> str:
    """Names of % in braces; bare {} of str.format get their numbers."""
    parts = re.sub(r"%\((\w+)\)[sd]", r"{\1}", text).split("{}")
    filled = (f"{part}{{{number}}}" for number, part in enumerate(parts[:-1]))
    return "".join(filled) + parts[-1]


def _parts(text: str) -> list[str]:
    # A sentence that was put in before or after ours is a message of its own.
    whole = re.sub(r"^\{\w+\} (?=[A-Z])|(?<=[.?!]) \{\w+\}$", "", text.strip())
    return [part.strip() for part in BORDER.split(whole)]


def _is_for_people(text: str) -> bool:
    bare = re.sub(r"\{[^{}]*\}", "", text)
    return (
        " " in text
        and text not in _NOT_SHOWN
        and re.search(r"[a-z]{2}", bare) is not None
        and re.search(r"[\\|*]|%s|::|\w\(|^[A-Z]{2,} ", bare) is None
    )
