"""Live playlists as clients meet them, reload by reload, before two judges that share nothing with our renderer.

One is ``tests.support.llhls_checker``, written from rfc8216bis-22. The other is the parser of hls.js, which most
viewers have. Several broadcasts are followed at the same time, by a player of parts and a player of segments each, and
then judged; every test looks at one question about one broadcast.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import streamd
from tests.support import clients
from tests.support.clients import Command, Picture, running
from tests.support.llhls_players import Followed, follow, next_position
from tests.support.publisher import publish
from tests.support.server import run_server
from tests.support.tools import require

pytestmark = pytest.mark.integration

BROADCAST_S = 13.0
# A broadcast that has not ended by then has not been told to viewers, or hangs.
FOLLOW_S_MAX = BROADCAST_S + 10.0

# rfc8216bis-22 appendix B, in target durations, and what "for ever" is for names that are never used again.
BLOCKING_TARGETS = 6
MEDIA_MAX_AGE_S = 3600

JUDGE = Path(__file__).parent.parent / "support" / "m3u8_judge.mjs"
HLS_JS = Path(streamd.__file__).parent / "doors" / "web" / "static" / "vendor" / "hls.min.mjs"

# Seconds at which the keyframes of the irregular broadcast are: scene cuts close together, and GOPs longer than any
# target duration.
KEYFRAMES_S = (0, 1.3, 1.7, 5.2, 5.6, 6.0, 10.9, 11.3, 14.0)
SMALL: dict[str, object] = {"width": 320, "height": 180, "video_bitrate": 200_000}


def irregular(server_url: str, stream_key: str) -> Command:
    """ffmpeg with B-frames and keyframes where they are least expected."""
    command = clients.ffmpeg(server_url, stream_key, BROADCAST_S, Picture(keyframe_interval_s=60))
    at = command.argv.index("-g")
    keyframes = ("-force_key_frames", ",".join(map(str, KEYFRAMES_S)))
    return Command(command.name, (*command.argv[:at], *keyframes, *command.argv[at:]), stream_key)


BROADCASTS: dict[str, dict[str, object]] = {
    "two-seconds": SMALL,
    "b-frames": SMALL | {"b_frames": 2, "frame_rate": "30000/1001"},
    "audio": {"has_video": False},
    "video": SMALL | {"has_audio": False},
}
IRREGULAR = "irregular"
# Target durations of one second: its playlist is soon long enough for delta updates.
ONE_SECOND = "one-second"
NAMES = (*BROADCASTS, IRREGULAR, ONE_SECOND)


@pytest.fixture(scope="module")
def all_followed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Followed]:
    """What every broadcast looked like to its players, from its first part to its end."""
    require("ffmpeg")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(run_server(tmp_path_factory.mktemp("server")))
        short = stack.enter_context(run_server(tmp_path_factory.mktemp("short"), hls__segment_target_ms=1000))
        places = dict.fromkeys((*BROADCASTS, IRREGULAR), server) | {ONE_SECOND: short}
        orders = BROADCASTS | {ONE_SECOND: SMALL | {"keyframe_interval_s": 1.0}}
        keys = {name: place.issue_key(name) for name, place in places.items()}
        for name, order in orders.items():
            stack.enter_context(publish(places[name].rtmp_url, keys[name], **order, duration_s=BROADCAST_S))
        stack.enter_context(running(irregular(server.rtmp_url, keys[IRREGULAR])))
        for name, place in places.items():
            place.wait_until_playable(name)
        following = {name: follow(place, name, FOLLOW_S_MAX) for name, place in places.items()}
        return {name: finish() for name, finish in following.items()}


@pytest.fixture(params=NAMES)
def followed(all_followed: dict[str, Followed], request: pytest.FixtureRequest) -> Followed:
    return all_followed[request.param]


def test_no_rule_is_broken(followed: Followed) -> None:
    broken = {(reload.query, violation) for reload in followed.reloads for violation in reload.violations}
    assert broken == set()


def test_there_was_something_to_judge(followed: Followed) -> None:
    assert len(followed.by_parts) > 15
    assert len(followed.by_segments) >= 4
    assert followed.by_parts[-1].parsed.is_ended
    assert followed.by_segments[-1].parsed.is_ended


def test_a_blocked_reload_is_answered_with_what_it_asked_for(followed: Followed) -> None:
    """Section 6.2.5.2: the server defers "until the Playlist contains" the segment or part."""
    for before, reload in pairwise(followed.by_parts):
        assert reload.parsed.is_ended or next_position(reload.parsed) > next_position(before.parsed), reload.query
    for before, reload in pairwise(followed.by_segments):
        assert reload.parsed.is_ended or reload.parsed.last_msn > before.parsed.last_msn, reload.query


def test_no_part_is_missed_by_who_reloads_for_every_part(followed: Followed) -> None:
    """A part is in the answer as soon as it is there, so reloads come one part further, or to the next segment."""
    for before, reload in pairwise(followed.by_parts):
        msn, part = next_position(before.parsed)
        assert reload.parsed.is_ended or next_position(reload.parsed) in ((msn, part + 1), (msn + 1, 0), (msn + 1, 1))


def test_every_hinted_part_arrives(followed: Followed) -> None:
    """Section 6.2.2: a request for a hinted part is answered when all of it is there; the last hint may be in vain."""
    listed = {part.uri for reload in followed.by_parts for each in reload.parsed.listed for part in each.parts}
    segments = {segment.uri for segment in followed.by_parts[-1].parsed.segments}
    assert segments
    for hinted in followed.hinted[:-1]:
        assert hinted.status == 200, hinted.uri
        assert hinted.body[4:8] == b"moof", hinted.uri
        assert hinted.uri in listed
    assert followed.hinted[-1].status in (200, 404)


def test_caches_are_told_how_long(followed: Followed) -> None:
    """Appendix B, and RFC 9111: names of media are never used again."""
    target_s = followed.by_parts[0].parsed.target_duration
    for reload in followed.reloads:
        is_blocking = bool(reload.query) and not reload.parsed.is_ended
        max_age_s = BLOCKING_TARGETS * target_s if is_blocking else target_s // 2
        assert reload.headers["cache-control"] == f"max-age={max_age_s}", reload.query
        assert reload.headers["content-type"] == "application/vnd.apple.mpegurl"
        assert reload.headers["vary"] == "Accept-Encoding"
        assert reload.headers["access-control-allow-origin"] == "*"
    for hinted in followed.hinted[:-1]:
        assert hinted.headers["cache-control"] == f"max-age={MEDIA_MAX_AGE_S}, immutable"
        assert hinted.headers["content-type"] in ("video/mp4", "audio/mp4")
        assert "content-encoding" not in hinted.headers


def test_delta_updates_skip_what_is_known(all_followed: dict[str, Followed]) -> None:
    asked = [reload for reload in all_followed[ONE_SECOND].reloads if "_HLS_skip" in reload.query]
    assert any(reload.parsed.skipped for reload in asked)
    assert not any(reload.parsed.skipped for reload in all_followed[ONE_SECOND].reloads if reload not in asked)


def test_a_long_gop_is_cut_and_a_short_one_makes_no_segment(all_followed: dict[str, Followed]) -> None:
    playlist = all_followed[IRREGULAR].by_segments[-1].parsed
    assert len({segment.duration for segment in playlist.segments}) > 2
    # The first one is short, for a player to begin within a second.
    assert all(segment.duration >= 1 for segment in playlist.segments[1:-1])


def test_hls_js_reads_the_same(followed: Followed, hls_js: Judge) -> None:
    for reload, seen in zip(followed.reloads, hls_js(followed), strict=True):
        playlist = reload.parsed
        opened = playlist.open_segment
        assert seen["error"] is None, reload.text
        assert seen["isLive"] != playlist.is_ended
        assert seen["canBlockReload"]
        assert seen["targetDuration"] == playlist.target_duration
        assert seen["partTarget"] == float(playlist.part_target or 0)
        assert seen["partHoldBack"] == float(playlist.server_control["PART-HOLD-BACK"])
        assert seen["canSkipUntil"] == float(playlist.server_control["CAN-SKIP-UNTIL"])
        assert seen["skipped"] == playlist.skipped
        assert seen["firstMsn"] == playlist.media_sequence
        assert seen["lastMsn"] == playlist.last_msn
        assert seen["discontinuities"] == playlist.discontinuity_sequence
        assert seen["segments"] == [segment.uri for segment in playlist.segments]
        assert seen["hasDates"]
        assert seen["hasMaps"]
        assert seen["hint"] == playlist.hints.get("PART")
        if opened is not None and opened.parts:
            assert seen["openMsn"] == playlist.last_msn + 1
        first_msn = playlist.media_sequence + playlist.skipped
        assert seen["parts"] == [
            [first_msn + index, number, part.uri, float(part.duration), part.is_independent]
            for index, segment in enumerate(playlist.listed)
            for number, part in enumerate(segment.parts)
        ]


Judge = Callable[[Followed], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def hls_js() -> Judge:
    """The parser of the hls.js that is served to viewers, in plain Node."""
    require("node")
    if not HLS_JS.exists():
        reason = "hls.js is not there: the package was built without npm"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    def judge(followed: Followed) -> list[dict[str, Any]]:
        lines = [json.dumps({"url": followed.url, "text": reload.text.decode()}) for reload in followed.reloads]
        done = subprocess.run(
            ["node", str(JUDGE), str(HLS_JS)], input="\n".join(lines), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return judge
