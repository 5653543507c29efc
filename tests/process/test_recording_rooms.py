from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.clock import ManualClock
from streamd.process.recording_rooms import RecordingRooms
from streamd.services.events.event import unheard
from streamd.services.metrics import Metrics
from streamd.services.store.database import Database
from tests.support.built_server import config_of

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.process.config import Config


def rooms_of(config: Config, deleted: list[str]) -> RecordingRooms:
    return RecordingRooms(
        config,
        ManualClock(),
        Metrics(),
        Database(config.database_url),
        is_listed=lambda _: True,
        on_deleted=deleted.append,
        tell=unheard,
    )


def test_a_stream_is_recorded_by_two_outputs_and_without_an_address_nothing_is_put_into_a_bucket(
    tmp_path: Path,
) -> None:
    rooms = rooms_of(config_of(tmp_path), [])
    assert rooms.outputs == (rooms.recorder.output, rooms.past_recorder.output)
    assert rooms.storage is None
    assert rooms.held_bytes == 0


def test_a_recording_that_is_deleted_is_told_of(tmp_path: Path) -> None:
    deleted: list[str] = []
    rooms = rooms_of(config_of(tmp_path), deleted)
    rooms.recorder.retention.on_deleted("rec_1")
    assert deleted == ["rec_1"]


def test_a_configuration_that_is_read_again_reaches_each_of_them(tmp_path: Path) -> None:
    rooms = rooms_of(config_of(tmp_path), [])
    changed = config_of(tmp_path, dvr={"window_s": 60}, clips={"max_s": 45}, recording={"storyboard_interval_s": 7})
    rooms.configure(changed)
    assert rooms.pasts.window_s == 60
    assert rooms.clips.options.max_s == 45
    assert rooms.storyboarder.options.storyboard_interval_s == (7 if changed.http.posters else 0)
