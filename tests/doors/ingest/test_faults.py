"""A bug in one stream's line ends that stream, one in an output drops the output; each is logged once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import pytest

from streamd.formats.flv.tag import FlvTag
from streamd.media.packager.reload import PartNumber
from streamd.media.probe import Probe
from streamd.services.keys.admission import Admission
from streamd.services.live.health import HealthCode
from streamd.services.live.live_stream import LiveStream
from streamd.services.live.outputs import Output
from streamd.services.live.publisher import EndReason
from streamd.services.live.push_outputs import FlvOutput, Mp4Output
from streamd.services.live.waiters import Awaited
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac
from tests.support.ingest import IngestRoom, Peer, eventually, hls_of, presentation_of, settle

pytestmark = pytest.mark.asyncio

SECONDS = 3


class InjectedError(Exception):
    """A bug."""


class Broken:
    """Stands in for a thing of which one method does not do what it should.

    In the place of a compiled class it may be found out before the method is called, which is no better.
    """

    def __init__(self, works: object, method: str) -> None:
        self._works = works
        self._method = method

    def __getattr__(self, name: str) -> object:
        return fails if name == self._method else getattr(self._works, name)


def fails(*_: object, **__: object) -> None:
    raise InjectedError


class Bug(NamedTuple):
    """A method of one stream that does not do what it should."""

    place: str
    """Where its object is, from the stream or the output on."""
    method: str

    def put_into(self, stream: object, monkeypatch: pytest.MonkeyPatch) -> None:
        *way, name = self.place.split(".")
        holder: object = reduce(getattr, way, stream)
        works = getattr(holder, name)
        broken: object = Broken(works, self.method)
        if isinstance(works, Mapping):
            broken = {key: Broken(each, self.method) for key, each in works.items()}
        monkeypatch.setattr(holder, name, broken)


# Where each frame of a stream that is live passes.
ON_THE_WAY = [
    Bug("_line._demuxer", "demux"),
    Bug("_line._packaging._timeline", "place"),
    Bug("_line._packaging._ladder", "push"),
    Bug("_line", "receive"),
]
# Where its outputs have it.
IN_AN_OUTPUT = [
    ("hls", Bug("presentation.renditions", "add")),
    ("hls", Bug("waiters", "wake")),
    ("flv", Bug("fanout", "receive")),
    ("mp4", Bug("fanout", "receive")),
    ("mp4", Bug("_timer", "push")),
    ("monitor", Bug("tally", "parts")),
]


class Two:
    """Two streams that are live in one server, of which the first is about to break."""

    def __init__(self) -> None:
        self.room = IngestRoom()
        self.room.keys.verify = self._verify  # type: ignore[method-assign]

    @staticmethod
    async def _verify(stream_key: str, peer_address: str) -> Admission:
        return Admission(f"key_of_{stream_key}", stream_key)

    async def publish(self, user: str) -> Peer:
        peer = self.room.connect()
        peer.log_in()
        peer.ask_to_publish(user)
        await settle(lambda: peer.transport.reading == [False, True])
        peer.receive()
        return peer

    async def go_live(self, user: str) -> tuple[Peer, LiveStream]:
        peer = await self.publish(user)
        send(peer, 0)
        stream = self.room.registry.find(user)
        assert stream is not None
        await eventually(lambda: stream.is_playable)
        return peer, stream


def send(peer: Peer, turn: int) -> None:
    """Send the turn-th three seconds of a broadcast."""
    for tag in h264_aac(seconds=SECONDS):
        peer.send(message(tag, tag.timestamp_ms + turn * SECONDS * 1000))


def message(tag: FlvTag, time_ms: int) -> bytes:
    return rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=time_ms)


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.exc_info is not None]


def parts(stream: LiveStream) -> int:
    return presentation_of(stream).renditions["main"].next_part_number


async def check_the_damage(two: Two, stream: LiveStream, caplog: pytest.LogCaptureFixture) -> None:
    """The stream is over, its name is free, and what happened is told once."""
    assert stream.end_reason is EndReason.INTERNAL_ERROR
    assert len(tracebacks(caplog)) == 1
    again = await two.publish(stream.name)
    assert two.room.registry.find(stream.name) is not stream
    assert not again.transport.is_eof_written


@pytest.mark.parametrize("bug", ON_THE_WAY, ids=lambda bug: f"{bug.place}.{bug.method}")
async def test_a_bug_on_the_way_of_a_frame(
    bug: Bug, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    two = Two()
    (broken_peer, broken), (sound_peer, sound) = await two.go_live("alice"), await two.go_live("bob")
    woken: list[object] = []
    hls_of(broken).waiters.subscribe(Awaited("main", PartNumber(parts(broken) + 100)), woken.append)
    bug.put_into(broken, monkeypatch)
    send(broken_peer, 1)
    before = parts(sound)
    send(sound_peer, 1)
    await settle(lambda: woken)
    assert broken_peer.transport.is_eof_written
    assert "NetStream.Publish.Rejected" in broken_peer.status_codes()
    assert parts(sound) >= before + 2
    assert sound.is_live
    assert not sound_peer.transport.is_eof_written
    await check_the_damage(two, broken, caplog)


def output_of(stream: LiveStream, name: str) -> Output:
    return next(output for output in stream.outputs._all if output.name == name)


@pytest.mark.parametrize(("name", "bug"), IN_AN_OUTPUT, ids=str)
async def test_a_bug_in_an_output_drops_it_alone(
    name: str, bug: Bug, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    two = Two()
    peer, stream = await two.go_live("alice")
    woken: list[object] = []
    hls = hls_of(stream)
    hls.waiters.subscribe(Awaited("main", PartNumber(parts(stream) + 100)), woken.append)
    before = parts(stream)
    bug.put_into(output_of(stream, name), monkeypatch)
    for turn in range(1, 3):
        two.room.clock.advance(SECONDS)
        send(peer, turn)
        await two.room.registry.sweep()
    monkeypatch.undo()
    assert stream.is_live
    assert not peer.transport.is_eof_written
    assert stream.outputs.failed == {name: "internal error"}
    assert tracebacks(caplog) == ["output.failed"]
    assert HealthCode.OUTPUT_FAILED in stream.health.codes
    # The others go on; who waited for what is not to come is answered.
    assert (parts(stream) > before + 2) is (name != "hls")
    assert presentation_of(stream).renditions["main"].is_ended is (name == "hls")
    await settle(lambda: bool(woken) is (name == "hls"))
    for other in (FlvOutput, Mp4Output):
        output = stream.outputs.find(other)
        assert output is not None
        assert output.fanout.is_open is (name != output.name)
    two.room.registry.end(stream, EndReason.GOODBYE)
    assert tracebacks(caplog) == ["output.failed"]


async def test_a_bug_when_the_connection_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    two = Two()
    peer, stream = await two.go_live("alice")
    Bug("_line._packaging._ladder", "finish").put_into(stream, monkeypatch)
    peer.protocol.connection_lost(ConnectionResetError())
    assert two.room.listener.forgotten == [peer.protocol]
    await check_the_damage(two, stream, caplog)


async def test_a_bug_in_the_playlists_when_the_connection_is_lost_leaves_the_stream_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    two = Two()
    peer, stream = await two.go_live("alice")
    Bug("presentation.renditions", "end_segment").put_into(hls_of(stream), monkeypatch)
    peer.protocol.connection_lost(ConnectionResetError())
    assert stream.is_live
    assert stream.broadcaster.publisher is None
    assert tracebacks(caplog) == ["output.failed"]


@pytest.mark.parametrize("event", ["stream.unfinished", "output.failed"])
async def test_a_bug_at_the_goodbye_ends_the_stream_all_the_same(
    event: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    two = Two()
    peer, stream = await two.go_live("alice")
    woken: list[object] = []
    hls_of(stream).waiters.subscribe(Awaited("main", PartNumber(parts(stream) + 100)), woken.append)
    if event == "output.failed":
        Bug("presentation.renditions", "end").put_into(hls_of(stream), monkeypatch)
    else:
        Bug("_line._packaging._ladder", "finish").put_into(stream, monkeypatch)
    peer.send(rtmp_wire.command("deleteStream", 4, None, 1.0))
    await settle(lambda: woken)
    assert stream.end_reason is EndReason.GOODBYE
    assert tracebacks(caplog) == [event]
    if event == "output.failed":
        assert two.room.registry.find("alice") is not stream
    else:
        # The line's fault is not that of the playlists, which end as they should.
        assert presentation_of(stream).renditions["main"].is_ended


async def test_a_bug_in_probing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    two = Two()
    sound_peer, sound = await two.go_live("bob")

    monkeypatch.setattr(Probe, "__init__", fails)
    peer = await two.publish("alice")
    stream = two.room.registry.find("alice")
    assert stream is not None
    send(peer, 0)
    await eventually(lambda: not stream.is_live)
    assert peer.transport.is_eof_written
    before = parts(sound)
    send(sound_peer, 1)
    assert parts(sound) > before
    await check_the_damage(two, stream, caplog)


async def test_a_bug_in_what_is_done_once_a_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    two = Two()
    (peer, stream), (sound_peer, sound) = await two.go_live("alice"), await two.go_live("bob")
    Bug("_monitor.meter", "read").put_into(stream, monkeypatch)
    for turn in (1, 2):
        two.room.clock.advance(1)
        await two.room.registry.sweep()
        send(sound_peer, turn)
    two.room.clock.advance(1)
    await two.room.registry.sweep()
    assert peer.transport.is_eof_written
    assert sound.is_live
    assert sound.summary().bitrate_bps > 0
    await check_the_damage(two, stream, caplog)
