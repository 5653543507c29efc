from __future__ import annotations

from streamd.doors.delivery.answer import Absence
from tests.support.doors import SUSPENDED, StandInRegistry, StandInStream, channels_of


def test_a_stream_is_found_by_name_or_why_there_is_none() -> None:
    stream = StandInStream()
    channels = channels_of(StandInRegistry({"alice": stream, SUSPENDED: StandInStream()}))
    found = {name: channels.find(name) for name in ("alice", SUSPENDED, "nobody")}
    assert found == {"alice": stream, SUSPENDED: Absence.TAKEN_DOWN, "nobody": Absence.UNKNOWN}
