from __future__ import annotations

from streamd.formats.hls.multivariant_playlist import MediaRendition, MediaType, VariantStream, render

VIDEO = VariantStream(
    uri="main.m3u8",
    bandwidth=2_600_000,
    average_bandwidth=2_500_000,
    codecs=("avc1.640028", "mp4a.40.2"),
    width=1280,
    height=720,
    frame_rate_millihertz=29_970,
)


def test_a_variant_says_what_it_takes_to_play_it() -> None:
    assert render((VIDEO,)) == (
        b"#EXTM3U\n#EXT-X-VERSION:6\n"
        b'#EXT-X-STREAM-INF:BANDWIDTH=2600000,AVERAGE-BANDWIDTH=2500000,CODECS="avc1.640028,mp4a.40.2"'
        b",RESOLUTION=1280x720,FRAME-RATE=29.970\nmain.m3u8\n"
    )


def test_audio_alone_has_no_resolution_and_no_frame_rate() -> None:
    audio = VariantStream("main.m3u8", 128_000, 127_000, ("mp4a.40.2",))
    assert render((audio,)).splitlines()[2] == (
        b'#EXT-X-STREAM-INF:BANDWIDTH=128000,AVERAGE-BANDWIDTH=127000,CODECS="mp4a.40.2"'
    )


def test_audio_renditions_stand_before_the_variants_that_refer_to_them() -> None:
    english = MediaRendition(MediaType.AUDIO, "audio", "English", "en.m3u8", language="en", is_default=True, channels=2)
    commentary = MediaRendition(MediaType.AUDIO, "audio", "Commentary", "comment.m3u8")
    variant = VariantStream("main.m3u8", 1, 1, ("avc1.640028", "mp4a.40.2"), audio_group_id="audio")
    assert render((variant,), (english, commentary)).decode().splitlines()[2:] == [
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES'
        ',CHANNELS="2",URI="en.m3u8"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Commentary",DEFAULT=NO,AUTOSELECT=YES,URI="comment.m3u8"',
        '#EXT-X-STREAM-INF:BANDWIDTH=1,AVERAGE-BANDWIDTH=1,CODECS="avc1.640028,mp4a.40.2",AUDIO="audio"',
        "main.m3u8",
    ]
