from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamd.process.config import Config, load_config
from streamd.process.doctor.certificates import check_certificates
from streamd.process.doctor.check_result import CheckResult, Verdict
from tests.support import certificates
from tests.support.certificates import Pem

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    names = {"HTTP__TLS_CERT": tmp_path / "cert.pem", "HTTP__TLS_KEY": tmp_path / "key.pem"}
    environ = {f"STREAMD_{name}": str(value) for name, value in names.items()}
    return load_config(None, environ=environ | {"STREAMD_HTTP__PUBLIC_URL": "https://localhost"})


def check(config: Config, pem: Pem, now: datetime = NOW) -> CheckResult:
    Path(config.http.tls_cert).write_text(pem.cert)
    Path(config.http.tls_key).write_text(pem.key)
    (finding,) = check_certificates(config, now)
    return finding


def test_without_certificates_there_is_nothing_to_say() -> None:
    assert list(check_certificates(load_config(None, environ={}), NOW)) == []


def test_one_that_nobody_trusts_is_good_and_told_so(config: Config) -> None:
    finding = check(config, certificates.ONE)
    assert (finding.check, finding.verdict) == ("http.tls_cert", Verdict.WARNING)
    assert "good until 2126-10-29" in finding.message
    assert "does not trust" in finding.message


def test_one_of_an_authority_that_is_trusted(config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text(certificates.ONE.cert)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    assert check(config, certificates.ONE).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("pem", "says", "advice"),
    [
        (certificates.PAST, "has expired", "renew"),
        (certificates.FUTURE, "is not valid yet", "clock"),
        (Pem(certificates.ONE.cert, certificates.TWO.key), "do not load", "made for each other"),
        (Pem("nonsense", "nonsense"), "do not load", "PEM"),
    ],
)
def test_what_no_client_accepts_has_failed(config: Config, pem: Pem, says: str, advice: str) -> None:
    finding = check(config, pem)
    assert (finding.verdict, says in finding.message, advice in finding.advice) == (Verdict.FAILED, True, True)


def test_one_that_expires_soon(config: Config) -> None:
    finding = check(config, certificates.ONE, datetime(2126, 10, 20, tzinfo=UTC))
    assert (finding.verdict, "renew it now" in finding.advice) == (Verdict.WARNING, True)


def test_one_for_another_name(config: Config) -> None:
    http = config.http.model_copy(update={"public_url": "https://live.example.org"})
    finding = check(config.model_copy(update={"http": http}), certificates.ONE)
    assert (finding.verdict, "is not for live.example.org" in finding.message) == (Verdict.FAILED, True)
