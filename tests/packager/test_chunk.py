from __future__ import annotations

import pytest

from streamd.cmaf.fragment import TrackRun
from streamd.packager.chunk import ChunkBytes


def run_of(*samples: tuple[bytes, int]) -> TrackRun:
    count = len(samples)
    payloads, starts = [payload for payload, _ in samples], [start for _, start in samples]
    return TrackRun(1, 0, [1] * count, [0] * count, [True] * count, payloads, starts)


class TestChunkBytes:
    @pytest.mark.parametrize(
        ("runs", "joined"),
        [
            ([], b"moof"),
            ([run_of((b"head of a tag, frame", 15))], b"moofframe"),
            ([run_of((b"a", 0), (b"-b", 1)), run_of((b"--c", 2))], b"moofabc"),
            ([run_of((b"-", 1))], b"moof"),
        ],
    )
    def test_is_put_together_once(self, runs: list[TrackRun], joined: bytes) -> None:
        content = ChunkBytes(b"moof", runs)
        assert len(content) == len(joined)
        assert content.join() == joined
        assert content.join() is content.join()
        assert len(content) == len(joined)
