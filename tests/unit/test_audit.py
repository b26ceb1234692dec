"""The dependency audit fails for a vulnerability, and never takes silence for an answer."""

from __future__ import annotations

import json

import pytest

from tests.support import audit

WELL = {"name": "orjson", "version": "3.11.0", "vulns": []}
FLAW = {"id": "PYSEC-1", "fix_versions": ["3.1"], "aliases": [], "description": "..."}
ILL = {"name": "jinja2", "version": "3.0", "vulns": [FLAW]}
SKIPPED = {"name": "faust-streaming", "skip_reason": "Dependency not found"}


def report(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_a_vulnerability_fails_and_is_named() -> None:
    status, text = audit.verdict(audit.read("osv", report(WELL, ILL, SKIPPED)))
    assert status == 1
    assert text.splitlines() == [
        "jinja2 3.0: PYSEC-1, fixed in 3.1",
        "dependency audit by osv: 2 packages, 1 unknown to it and not audited, 1 flaws",
    ]


def test_without_a_vulnerability_it_passes() -> None:
    assert audit.verdict(audit.read("pypi", report(WELL))) == (0, "dependency audit by pypi: 1 packages, 0 flaws")


@pytest.mark.parametrize("said", ["", "Traceback ...", "[]", report(), report(SKIPPED, SKIPPED)])
def test_an_index_that_knows_nothing_is_no_audit(said: str) -> None:
    assert audit.read("pypi", said) is None
    status, text = audit.verdict(None)
    assert status == 0
    assert "NOT DONE" in text


def test_the_next_service_is_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"pypi": None, "osv": audit.read("osv", report(ILL))}
    monkeypatch.setattr(audit, "ask", lambda service, files: answers[service])
    assert audit.main(["requirements.lock"]) == 1
    assert "by osv" in capsys.readouterr().out
