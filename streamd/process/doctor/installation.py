"""What the build could make of us: the player, and the way of a frame."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.doors.web.public.pages import Pages
from streamd.formats.rtmp import chunk
from streamd.process.doctor.check_result import CheckResult, ok, warning

if TYPE_CHECKING:
    from streamd.process.config import Config


def check_player() -> CheckResult:
    """See that hls.js was installed with us."""
    if Pages().has_player:
        return ok("player", "hls.js is installed")
    return warning(
        "player",
        "hls.js is not installed: only browsers that play HLS themselves can watch",
        "install streamd anew while npm can be reached, or from a wheel that has it",
    )


def check_compiled() -> CheckResult:
    """See whether the way of a frame was compiled; one module stands for all of them."""
    check = "compiled"
    if Path(chunk.__file__).suffix != ".py":
        return ok(check, "the way of a frame is")
    return ok(check, "nothing is, and a publisher costs two thirds more CPU; with a C compiler, install streamd anew")


def check_demuxer(config: Config) -> CheckResult:
    """Say which demuxer reads broadcasters' frames."""
    check, pyav = "ingest.demuxer", f"PyAV {version('av')}"
    if config.ingest.demuxer == "native":
        return ok(check, f"native: streamd reads frames itself; libavformat, through {pyav}, the tracks alone")
    return ok(check, f"pyav: libavformat reads every frame, through {pyav}")
