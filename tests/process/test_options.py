from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamd.limits import Limits
from streamd.media.demux import DemuxerKind
from streamd.process import options as options_module
from streamd.process.config import Config
from streamd.process.config.sections import DvrConfig, HlsConfig, IngestConfig, LimitsConfig, RtmpConfig
from streamd.process.options import (
    changed_settings,
    connection_options,
    door_options,
    handler_limits,
    handshake_limits,
    ingest_options,
    listener_limits,
    loop_shares,
    media_timeouts,
    peer_line_limits,
    port_limits,
    stream_options,
    told,
    verifier_options,
)
from streamd.process.resources import Descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = [field.name for field in dataclasses.fields(Limits)]
# No default, and each unlike all others.
UNLIKE: dict[str, Any] = {key: 1_000_003 + number for number, key in enumerate(KEYS)}
OTHER = Config().model_copy(update={"limits": LimitsConfig.model_construct(**UNLIKE)})


def all_options(config: Config) -> list[Any]:
    """What every service is told, where nothing is short of descriptors."""
    limits = config.limits
    descriptors = Descriptors(limits.connections_max, limits.viewer_connections_max, 100, limits.tls_handshakes_max)
    return [
        ingest_options(config),
        connection_options(config),
        listener_limits(config, descriptors.encoders),
        peer_line_limits(config),
        loop_shares(config),
        handshake_limits(config, descriptors.handshakes),
        verifier_options(config),
        stream_options(config),
        door_options(config, descriptors),
        port_limits(config),
        handler_limits(config),
        media_timeouts(config),
    ]


def flat(options: Any) -> Iterator[tuple[str, Any]]:
    """The fields of options, and of what they contain."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from flat(value)
        else:
            yield field.name, value


@pytest.mark.parametrize("options", all_options(OTHER), ids=lambda options: type(options).__name__)
def test_a_field_with_the_name_of_a_limit_is_told_it(options: Any) -> None:
    values = dict(flat(options))
    limits = [name for name in values if name in UNLIKE]
    assert limits
    assert [name for name in limits if values[name] != UNLIKE[name]] == []


@pytest.mark.parametrize("options", all_options(Config()), ids=lambda options: type(options).__name__)
def test_what_is_built_without_a_configuration_has_its_defaults(options: Any) -> None:
    for name, value in flat(options):
        if name in UNLIKE:
            assert value == getattr(Config().limits, name), name


def test_every_limit_is_told_to_somebody() -> None:
    """In an option, or by name where what it is for takes nothing else."""
    in_options = {name for options in all_options(OTHER) for name, _ in flat(options)}
    sources = Path(options_module.__file__).parent.glob("*.py")
    by_name = {key for source in sources for key in re.findall(r"\blimits\.(\w+)", source.read_text())}
    assert set(KEYS) - in_options - by_name == set()


def test_the_configuration_has_each_limit_once() -> None:
    assert list(LimitsConfig.model_fields) == KEYS


def test_no_two_sections_that_are_told_together_have_a_key_of_one_name() -> None:
    assert not LimitsConfig.model_fields.keys() & HlsConfig.model_fields.keys()


def test_what_is_known_better_than_from_the_configuration_is_believed() -> None:
    shared = listener_limits(OTHER, 7)
    assert (shared.connections_max, shared.handshakes_max) == (7, UNLIKE["handshakes_max"])
    assert dict(flat(connection_options(OTHER)))["text_bytes"] == UNLIKE["command_bytes_max"]


def test_what_is_no_setting_stays_as_it_is() -> None:
    @dataclasses.dataclass(frozen=True)
    class Inner:
        tracks_max: int = 1
        patience_s: float = 3.0

    @dataclasses.dataclass(frozen=True)
    class Outer:
        inner: Inner
        low_latency: bool = True

    config = Config(hls=HlsConfig(low_latency=False), limits=LimitsConfig(tracks_max=5))
    assert told(Outer(Inner()), config.limits, config.hls) == Outer(Inner(5, 3.0), low_latency=False)


def test_what_has_changed_and_whether_it_is_taken_without_a_restart() -> None:
    old = Config()
    new = Config(
        dvr=DvrConfig(window_s=600),
        hls=HlsConfig(window_segments=9),
        ingest=IngestConfig(demuxer="native"),
        limits=LimitsConfig(streams_max=1),
        rtmp=RtmpConfig(tls_cert="x", tls_key="y"),
    )
    assert dict(changed_settings(old, new)) == {
        "dvr.window_s": True,
        "hls.window_segments": True,
        "ingest.demuxer": True,
        "limits.streams_max": True,
        "rtmp.tls_cert": False,
        "rtmp.tls_key": False,
    }
    assert not dict(changed_settings(new, new))


def test_frames_are_read_by_pyav_unless_the_operator_says_otherwise() -> None:
    assert stream_options(Config()).demuxer is DemuxerKind.PYAV
    assert stream_options(Config(ingest=IngestConfig(demuxer="native"))).demuxer is DemuxerKind.NATIVE


def test_a_live_stream_is_cut_as_the_operator_says() -> None:
    hls = HlsConfig(part_target_ms=333, segment_target_ms=4000, window_segments=9, low_latency=False)
    options = stream_options(Config(hls=hls))
    assert (options.segmenter.part_target_ms, options.segmenter.segment_target_ms) == (333, 4000)
    assert (options.rendition.window_segments, options.rendition.low_latency) == (9, False)
