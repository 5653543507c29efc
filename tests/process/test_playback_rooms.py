from __future__ import annotations

import base64
from typing import TYPE_CHECKING, cast

from streamd.clock import ManualClock
from streamd.process.playback_rooms import PlaybackRooms
from streamd.services.metrics import Metrics
from streamd.services.playback.policy import Policy
from streamd.services.store.database import Database
from tests.support.built_server import config_of

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.doors.outgoing.http_sender import HttpSender

# 32 bytes, in base64.
SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"


def test_a_configuration_that_is_read_again_reaches_the_gate_and_the_hook(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    rooms = PlaybackRooms(config, ManualClock(), Metrics(), cast("HttpSender", None), Database(config.database_url))
    policies = [rooms.gate.options.policy]
    rooms.configure(
        config_of(
            tmp_path,
            playback={"policy": "hook", "hook_url": "https://service.example/v", "hook_secret": SECRET},
        )
    )
    policies.append(rooms.gate.options.policy)
    assert policies == [Policy.PUBLIC, Policy.HOOK]
    assert rooms.hook.options.url == "https://service.example/v"
