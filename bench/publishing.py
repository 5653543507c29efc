"""The benches' broadcast: a clip, and OBS's log-in."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.formats.flv.tag import FlvReader
from streamd.process.workers.testcard import Order, broadcast

if TYPE_CHECKING:
    import asyncio

    from streamd.formats.amf.values import Value
    from streamd.formats.flv.tag import FlvTag

CLIP_S = 10
CHUNK_SIZE = 4096  # OBS


def write_clip(path: Path, bitrate_kbps: int, size: str) -> None:
    """Encode a clip: H.264 with 2 s GOPs at 30 frames a second, and AAC.

    Args:
        path: Of the FLV file.
        bitrate_kbps: Of the video.
        size: Of the picture, such as ``1280x720``.
    """
    width, height = map(int, size.split("x"))
    broadcast(
        Order(str(path.parent), path.name, CLIP_S, width, height, video_bitrate=bitrate_kbps * 1000, is_real_time=False)
    )


def make_clip(bitrate_kbps: int, size: str) -> list[FlvTag]:
    """Encode a clip and read it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "clip.flv")
        write_clip(path, bitrate_kbps, size)
        return FlvReader().receive_data(path.read_bytes())


def login(stream_key: str) -> list[tuple[int, tuple[Value, ...]]]:
    """OBS's commands: message stream id and values."""
    return [
        (0, ("connect", 1.0, {"app": "live", "type": "nonprivate", "tcUrl": "rtmp://127.0.0.1/live"})),
        (0, ("releaseStream", 2.0, None, stream_key)),
        (0, ("FCPublish", 3.0, None, stream_key)),
        (0, ("createStream", 4.0, None)),
        (1, ("publish", 5.0, None, stream_key, "live")),
    ]


async def read_all(reader: asyncio.StreamReader) -> None:
    """Read and drop the server's answers, as OBS does while it streams."""
    while await reader.read(65_536):
        pass
