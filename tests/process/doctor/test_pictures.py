from __future__ import annotations

import sys

import pytest

from streamd.process.config import Config, load_config
from streamd.process.doctor import pictures
from streamd.process.doctor.check_result import Verdict
from streamd.process.doctor.pictures import check_pictures, describe
from streamd.services.sandbox import Layer

ALL = ~Layer(0)


def warned_of(layers: Layer) -> list[str]:
    return [finding.check for finding in describe(layers) if finding.verdict is not Verdict.OK]


class TestEachLayer:
    def test_has_one_line_whether_it_holds_or_not(self) -> None:
        for layers in (ALL, Layer(0), *Layer):
            findings = list(describe(layers))
            assert len({finding.check for finding in findings}) == len(Layer) == len(findings)
            assert all(finding.advice for finding in findings if finding.verdict is not Verdict.OK)

    @pytest.mark.parametrize(
        ("missing", "checks"),
        [
            (Layer(0), []),
            (Layer.FILES | Layer.NETWORK | Layer.SIGNALS, ["pictures: files"]),
            (Layer.NETWORK | Layer.SIGNALS, []),
            (Layer.SIGNALS, []),
            (Layer.CALLS, ["pictures: system calls"]),
            (Layer.CALLS | Layer.SIGNALS, ["pictures: system calls", "pictures: processes"]),
            (Layer.USER, ["pictures: user"]),
        ],
    )
    def test_is_missed_where_nothing_else_does_the_same(self, missing: Layer, checks: list[str]) -> None:
        assert warned_of(ALL & ~missing) == checks


class TestTheWorker:
    def test_is_started_and_asked(self) -> None:
        findings = list(check_pictures(Config()))
        assert len(findings) == len(Layer)
        assert {finding.check: finding.verdict for finding in findings}["pictures: limits"] is Verdict.OK

    @pytest.mark.parametrize("code", ["raise SystemExit(1)", "print('nonsense')", ""])
    def test_that_does_not_answer_is_a_warning(self, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
        monkeypatch.setattr(pictures, "PICTURE_COMMAND", (sys.executable, "-c", code))
        (finding,) = check_pictures(Config())
        assert finding.verdict is Verdict.WARNING
        assert "posters = false" in finding.advice

    def test_is_not_started_where_no_pictures_are_drawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pictures, "PICTURE_COMMAND", ("/nonexistent/python",))
        (finding,) = check_pictures(load_config(None, environ={"STREAMD_HTTP__POSTERS": "false"}))
        assert finding.verdict is Verdict.OK
