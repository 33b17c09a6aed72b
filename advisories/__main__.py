"""Asks pip-audit about every pinned dependency: `make audit`, and `make check` once a day.

With `--if-reachable`, as `make check` asks, it is no failure that no service can be asked.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

LOCKS = (Path("requirements.txt"), Path("requirements-dev.txt"))
#: Tells when which locks were found good, so that `make check` is quick.
STAMP = Path(".venv/.audited")
DAY_SECONDS = 86_400
#: The services that pip-audit knows, by its own names; the next one when one cannot be asked.
SERVICES = ("pypi", "osv")
#: For a question about one dependency, which tells whether a service answers at all; when this is
#: only one of many checks, nobody shall wait for it.
TRY_SECONDS = 30
QUICK_TRY_SECONDS = 3
WHOLE_SECONDS = 300


class CannotAsk(Exception):
    """The service does not answer, or knows nothing of what is asked."""


def main(words: list[str] | None = None) -> int:
    """0 when nothing is known against what we depend on; 1 when something is; 2: nobody knows."""
    parser = argparse.ArgumentParser(prog="advisories", description=__doc__)
    parser.add_argument("--if-reachable", action="store_true")
    is_lenient = parser.parse_args(words).if_reachable
    if is_lenient and _was_good_today():
        return 0
    for service in SERVICES:
        try:
            found = ask(service, try_seconds=QUICK_TRY_SECONDS if is_lenient else TRY_SECONDS)
        except CannotAsk:
            continue
        for line in found:
            print(line)
        if not found:
            STAMP.write_text(_digest(), "utf-8")
        return 1 if found else 0
    print("Whether vulnerabilities of our dependencies are known could not be asked from here.")
    return 0 if is_lenient else 2


def ask(service: str, *, try_seconds: float) -> list[str]:
    """A line for each known vulnerability. Raises CannotAsk."""
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one.txt"
        one.write_text(_first_entry(LOCKS[0].read_text("utf-8")), "utf-8")
        _answers(service, [one], seconds=try_seconds)
    answers = _answers(service, LOCKS, seconds=WHOLE_SECONDS)
    if passed_over := [answer["name"] for answer in answers if "skip_reason" in answer]:
        print(f"Nothing could be learned about: {', '.join(sorted(passed_over))}.")
    return list(_lines(answers))


def _answers(service: str, locks: Any, *, seconds: float) -> list[dict[str, Any]]:
    words = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip"]
    words += ["--format=json", "--progress-spinner=off", f"--vulnerability-service={service}"]
    words += ["--timeout=3", *(f"--requirement={lock}" for lock in locks)]
    try:
        run = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 - our own words
        answers: list[dict[str, Any]] = json.loads(run.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise CannotAsk from error
    if all("skip_reason" in answer for answer in answers):
        raise CannotAsk
    return answers


def _first_entry(text: str) -> str:
    """A dependency and the hashes on the lines after it."""
    first, *others = text.splitlines()
    ours = takewhile(lambda line: line.startswith("    --hash"), others)
    return "\n".join([first, *ours]).rstrip("\\") + "\n"


def _lines(answers: list[dict[str, Any]]) -> Iterator[str]:
    for answer in answers:
        for one in answer.get("vulns", ()):
            mended = ", ".join(one["fix_versions"]) or "no version yet"
            yield f"{answer['name']} {answer['version']}: {one['id']}; mended in {mended}."


def _was_good_today() -> bool:
    try:
        is_recent = time.time() - STAMP.stat().st_mtime < DAY_SECONDS
        return is_recent and STAMP.read_text("utf-8") == _digest()
    except OSError:
        return False


def _digest() -> str:
    return hashlib.sha256(b"".join(lock.read_bytes() for lock in LOCKS)).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
