from __future__ import annotations

from streamd.media.demux import DemuxerKind
from streamd.process.config import Config
from streamd.process.config.sections import HlsConfig, IngestConfig, LimitsConfig, RtmpConfig
from streamd.process.options import changed_settings, stream_options


def test_what_has_changed_and_whether_it_is_taken_without_a_restart() -> None:
    old = Config()
    new = Config(
        hls=HlsConfig(window_segments=9),
        ingest=IngestConfig(demuxer="native"),
        limits=LimitsConfig(streams_max=1),
        rtmp=RtmpConfig(tls_cert="x", tls_key="y"),
    )
    assert dict(changed_settings(old, new)) == {
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
