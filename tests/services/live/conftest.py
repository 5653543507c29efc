from __future__ import annotations

import pytest

from streamd.media.demux import DemuxerKind
from tests.support.line_room import LineRoom


@pytest.fixture(params=list(DemuxerKind), ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> DemuxerKind:
    """Lines are looked at with every demuxer."""
    found: DemuxerKind = request.param
    monkeypatch.setattr(LineRoom, "any_demuxer", found)
    return found
