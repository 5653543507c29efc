"""The parts that a build may have had to leave out: the player, and the compiled way of a frame."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from streamd.doors.web.public.pages import Pages
from streamd.process import compiled
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
    """See whether the way of a frame was compiled, and say why not."""
    check, found = "compiled", compiled.look()
    if found.is_compiled is True:
        return ok(check, "the way of a frame is")
    how_much = "a part of the way of a frame is" if found.is_compiled else "nothing is"
    message = f"{how_much}, and compiled, a publisher costs two fifths less CPU: {found.why}"
    if not found.is_fault:
        return ok(check, message)
    return warning(
        check, message, "install a C compiler and Python's headers (Debian: gcc python3-dev), then streamd anew"
    )


def check_demuxer(config: Config) -> CheckResult:
    """Say which demuxer reads broadcasters' frames."""
    check, pyav = "ingest.demuxer", f"PyAV {version('av')}"
    if config.ingest.demuxer == "native":
        return ok(check, f"native: streamd reads frames itself; libavformat, through {pyav}, the tracks alone")
    return ok(check, f"pyav: libavformat reads every frame, through {pyav}")
