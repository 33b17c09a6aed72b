"""Known vulnerabilities of dependencies: a failure when there are some, a sentence when nobody
can be asked."""

import json
import subprocess
from pathlib import Path

import pytest

from advisories import __main__ as advisories

BAD = {"id": "CVE-2026-1", "fix_versions": ["2.0"]}
GOOD = [{"name": "a", "version": "1.0", "vulns": []}, {"name": "b", "version": "1", "vulns": []}]
VULNERABLE = [{"name": "a", "version": "1.0", "vulns": [BAD]}, GOOD[1]]
UNKNOWN = [{"name": "a", "skip_reason": "It is not known."}]
NOBODY = "could not be asked"


@pytest.fixture
def audit(monkeypatch, tmp_path):
    """Makes pip-audit answer so, by service; gives what it was asked."""
    asked = []
    locks = (tmp_path / "one.txt", tmp_path / "two.txt")
    locks[0].write_text(
        "a==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n    # via\n    #   b\nb==1\n"
    )
    locks[1].write_text("b==1\n")
    monkeypatch.setattr(advisories, "LOCKS", locks)
    monkeypatch.setattr(advisories, "STAMP", tmp_path / "stamp")

    def answers(**by_service):
        def run(words, **_options):
            (service,) = (word.split("=")[1] for word in words if "-service=" in word)
            files = [Path(word.split("=", 1)[1]) for word in words if "--requirement=" in word]
            asked.append((service, [file.read_text() for file in files]))
            found = by_service.get(service)
            if isinstance(found, Exception):
                raise found
            output = "" if found is None else json.dumps({"dependencies": found, "fixes": []})
            return subprocess.CompletedProcess(words, 1 if found != GOOD else 0, output, "Error")

        monkeypatch.setattr(subprocess, "run", run)
        return asked

    return answers


def test_one_dependency_is_asked_about_first_then_all_of_both_locks(audit, capsys):
    asked = audit(pypi=GOOD)
    assert advisories.main([]) == 0
    assert capsys.readouterr().out == ""
    (_, first), (_, both) = asked
    assert first == ["a==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"]
    assert both == [lock.read_text() for lock in advisories.LOCKS]


@pytest.mark.parametrize("words", [[], ["--if-reachable"]])
def test_a_known_vulnerability_is_a_failure_that_names_it(audit, capsys, words):
    audit(pypi=VULNERABLE)
    assert advisories.main(words) == 1
    assert capsys.readouterr().out == "a 1.0: CVE-2026-1; mended in 2.0.\n"
    assert advisories.main(words) == 1


@pytest.mark.parametrize(("words", "code"), [([], 2), (["--if-reachable"], 0)])
@pytest.mark.parametrize("answer", [None, UNKNOWN, subprocess.TimeoutExpired("pip-audit", 3)])
def test_when_nobody_can_be_asked_it_is_said(audit, capsys, words, code, answer):
    asked = audit(pypi=answer, osv=answer)
    assert advisories.main(words) == code
    assert NOBODY in capsys.readouterr().out
    assert [service for service, _files in asked] == ["pypi", "osv"]


def test_another_service_is_asked_when_the_first_knows_nothing(audit):
    audit(pypi=UNKNOWN, osv=VULNERABLE)
    assert advisories.main([]) == 1


def test_what_was_passed_over_is_named(audit, capsys):
    audit(pypi=[*GOOD, {"name": "c", "skip_reason": "It is not known."}])
    assert advisories.main([]) == 0
    assert capsys.readouterr().out == "Nothing could be learned about: c.\n"


def test_the_checks_ask_once_a_day_and_again_for_other_locks(audit):
    asked = audit(pypi=GOOD)
    advisories.main(["--if-reachable"])
    advisories.main(["--if-reachable"])
    assert len(asked) == 2
    advisories.LOCKS[1].write_text("b==2\n")
    advisories.main(["--if-reachable"])
    assert len(asked) == 4
    advisories.main([])
    assert len(asked) == 6
