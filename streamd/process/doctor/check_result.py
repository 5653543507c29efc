"""The result of a check."""

from __future__ import annotations

import enum

from pydantic import BaseModel, ConfigDict


class Verdict(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """The server runs, and some day or for some people it does not do what it should."""
    FAILED = "failed"
    """The server does not start so, or cannot do its work."""


class CheckResult(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True)

    check: str
    """The thing that was looked at: a setting, or a part of the machine."""
    verdict: Verdict
    message: str
    """The finding."""
    advice: str = ""
    """The remedy; empty where all is well."""


def ok(check: str, message: str) -> CheckResult:
    """All is well."""
    return CheckResult(check=check, verdict=Verdict.OK, message=message)


def warning(check: str, message: str, advice: str) -> CheckResult:
    """It could be better."""
    return CheckResult(check=check, verdict=Verdict.WARNING, message=message, advice=advice)


def failed(check: str, message: str, advice: str) -> CheckResult:
    """It will not do."""
    return CheckResult(check=check, verdict=Verdict.FAILED, message=message, advice=advice)
