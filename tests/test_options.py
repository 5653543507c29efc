from __future__ import annotations

from streamd.config import Config
from streamd.config.sections import HlsConfig, LimitsConfig, RtmpConfig
from streamd.options import changed_settings


def test_what_has_changed_and_whether_it_is_taken_without_a_restart() -> None:
    old = Config()
    new = Config(
        hls=HlsConfig(window_segments=9), limits=LimitsConfig(streams_max=1), rtmp=RtmpConfig(tls_cert="x", tls_key="y")
    )
    assert dict(changed_settings(old, new)) == {
        "hls.window_segments": True,
        "limits.streams_max": True,
        "rtmp.tls_cert": False,
        "rtmp.tls_key": False,
    }
    assert not dict(changed_settings(new, new))
