from __future__ import annotations

import json
import socket

import pytest

from streamd.process.config import load_config
from streamd.process.doctor.check_result import Verdict
from streamd.process.doctor.receivers import check_receivers
from tests.support.receiver import SECRET

ADDRESSES = {"good.example": "93.184.216.34", "inner.example": "10.1.2.3"}


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host not in ADDRESSES:
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", (ADDRESSES[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def verdicts(*hosts: str, **settings: str) -> dict[str, Verdict]:
    endpoints = json.dumps([{"url": f"https://{host}/x", "secret": SECRET} for host in hosts])
    environ = {"STREAMD_WEBHOOKS__ENDPOINTS": endpoints} | {f"STREAMD_{k}": v for k, v in settings.items()}
    return {f.check: f.verdict for f in check_receivers(load_config(None, environ=environ))}


def test_each_name_is_looked_up_and_judged() -> None:
    assert verdicts("good.example", "inner.example", "nowhere.example") == {
        "webhooks.endpoints 1": Verdict.OK,
        "webhooks.endpoints 2": Verdict.FAILED,
        "webhooks.endpoints 3": Verdict.FAILED,
    }


def test_what_is_allowed_is_well_and_the_hook_is_looked_at_too() -> None:
    found = verdicts(
        "inner.example",
        WEBHOOKS__ALLOW_NETWORKS="10.1.0.0/16",
        PUBLISH_HOOK__URL="http://inner.example/",
        PUBLISH_HOOK__SECRET=SECRET,
    )
    assert found == {"webhooks.endpoints 1": Verdict.OK, "publish_hook.url": Verdict.OK}


def test_nobody_to_tell() -> None:
    assert verdicts() == {}
