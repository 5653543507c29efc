"""A viewer of a node who follows a playlist with blocking reloads, as a player does, and judges it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tests.support.llhls_checker import PlaylistFollower, parse_playlist
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from tests.support.server import LiveServer

SHORT = "6.2.2: a live playlist of "


class EdgeViewer(threading.Thread):
    """Follows a playlist with blocking reloads, as a player does, and judges it."""

    def __init__(self, node: LiveServer, name: str) -> None:
        super().__init__(daemon=True)
        self.node, self.channel = node, name
        self.faults: list[str] = []
        self.last_msn = 0
        self.discontinuities = 0
        self.reloads = 0
        self.longest_s = 0.0
        self.has_ended = False
        self._ends = threading.Event()

    def run(self) -> None:
        follower = PlaylistFollower()
        query = ""
        moved_at = time.monotonic()
        while not self._ends.is_set():
            try:
                status, _, body = self.node.get(f"/live/{self.channel}/main.m3u8{query}", 20)
            except OSError as exc:
                self.faults.append(f"no answer: {exc}")
                return
            if status == 503:
                time.sleep(0.2)
                continue
            if status != 200:
                self.faults.append(f"status {status}")
                return
            # A stream that goes on elsewhere lists the media since then.
            self.faults += [each for each in follower.reload(body) if not each.startswith(SHORT)]
            playlist = parse_playlist(body)
            msn = playlist.last_msn
            self.discontinuities = max(self.discontinuities, body.count(b"#EXT-X-DISCONTINUITY\n"))
            if msn < self.last_msn:
                self.faults.append(f"MSN {self.last_msn}, then {msn}")
            if msn > self.last_msn:
                self.longest_s = max(self.longest_s, time.monotonic() - moved_at if self.last_msn else 0.0)
                moved_at = time.monotonic()
            self.last_msn = msn
            self.reloads += 1
            self.has_ended = b"#EXT-X-ENDLIST" in body
            if self.has_ended:
                return
            query = f"?_HLS_msn={msn + 1}"

    def stop(self) -> None:
        self._ends.set()
        self.join(PATIENCE_S)
