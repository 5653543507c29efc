"""OBS's multitrack configuration over a real socket: what OBS posts, through the thin door, to what it can read."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.obs.test_ladder import OBS_32
from tests.support.go_live import read_go_live_config

if TYPE_CHECKING:
    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration


def post(server: LiveServer, stream_key: str) -> Any:
    request = urllib.request.Request(
        f"{server.http_url}/api/v1/obs/config",
        data=json.dumps(OBS_32 | {"authentication": stream_key}).encode(),
        headers={"Content-Type": "application/json"},
    )
    # OBS gives up after five seconds.
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


def test_the_holder_of_a_key_gets_the_ladder_and_nobody_else(live_server: LiveServer) -> None:
    stream_key = live_server.issue_key("alice")
    document = post(live_server, f"{stream_key}?bandwidthtest=true")
    read_go_live_config(document)
    assert [each["height"] for each in document["encoder_configurations"]] == [1080, 720, 480]
    (endpoint,) = document["ingest_endpoints"]
    assert endpoint["url_template"].startswith("rtmp://127.0.0.1")
    # OBS goes on with the key that it has: no answer repeats it. What the server writes is searched when it stops.
    assert stream_key not in json.dumps(document)

    key_id = stream_key.split("_")[1]
    live_server.revoke(key_id)
    refused = post(live_server, stream_key)
    read_go_live_config(refused)
    assert refused["status"]["result"] == "error"
    assert live_server.wait_for_log("obs_config.refused", key_id=key_id)["reason"] == "revoked"


def test_a_body_that_never_ends_is_refused(live_server: LiveServer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="413") as refused:
        post(live_server, "x" * 100_000)
    refused.value.close()
