from __future__ import annotations

from pathlib import Path

import pytest

from streamd.process.building import refusals
from streamd.process.config import Config
from tests.support.built_server import config_of
from tests.support.certificates import ONE, TWO


def pair(directory: Path, cert: str, key: str) -> dict[str, str]:
    (directory / "cert.pem").write_text(cert)
    (directory / "key.pem").write_text(key)
    return {"tls_cert": str(directory / "cert.pem"), "tls_key": str(directory / "key.pem")}


def told(config: Config) -> list[str]:
    return [f"{'.'.join(name)}: {why}" for name, why in refusals(config)]


def test_what_serve_would_take_is_not_refused(tmp_path: Path) -> None:
    assert told(config_of(tmp_path, http=pair(tmp_path, ONE.cert, ONE.key))) == []
    assert {path.name for path in tmp_path.iterdir()} == {"cert.pem", "key.pem"}


@pytest.mark.parametrize(
    ("cert", "key", "why"),
    [
        (ONE.cert, TWO.key, "key.pem is not the key of"),
        ("no", ONE.key, "cert.pem is not a certificate in PEM"),
        (ONE.cert, "no", "key.pem is not a private key in PEM"),
        (
            ONE.cert,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIC\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "is encrypted",
        ),
    ],
)
@pytest.mark.parametrize("section", ["http", "rtmp"])
def test_a_certificate_that_does_not_load_is(tmp_path: Path, section: str, cert: str, key: str, why: str) -> None:
    files: dict[str, object] = {**pair(tmp_path, cert, key)}
    if section == "rtmp":
        files["tls_listen"] = "127.0.0.1:0"
    (refusal,) = told(config_of(tmp_path, **{section: files}))
    assert refusal.startswith(f"{section}.tls_cert: the certificate does not load: ")
    assert why in refusal


def test_an_address_that_the_machine_does_not_have_is(tmp_path: Path) -> None:
    (refusal,) = told(config_of(tmp_path, http={"listen": "192.0.2.77:8080"}))
    assert refusal.startswith("http.listen: the address is not one of this machine's")
    (refusal,) = told(config_of(tmp_path, admin={"listen": "no-such-host.invalid:8081"}))
    assert refusal.startswith("admin.listen: the address cannot be bound: ")
