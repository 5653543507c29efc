from __future__ import annotations

import json
import re
from pathlib import Path

from streamd.process.cli import EXIT_FAILED, EXIT_NOT_FOUND
from tests.support.cli import run
from tests.support.live_streams import Streams, summary


class TestStreams:
    def test_they_are_listed_and_kicked(self, server: Streams, data_dir: Path) -> None:
        server.live["alice"] = summary("alice", "7k2m9xq4ct")
        listed = run("streams", "list", data_dir=data_dir)
        assert re.search(r"alice .*1920x1080 +60 +6000 .*192\.0\.2\.1 +7k2m9xq4ct", listed.stdout)
        (stream,) = json.loads(run("streams", "list", "--json", data_dir=data_dir).stdout)
        assert (stream["name"], stream["viewers"]) == ("alice", {"hls": 3})
        assert run("streams", "kick", "alice", data_dir=data_dir).exit_code == 0
        assert server.live == {}
        assert "Nobody is live" in run("streams", "list", data_dir=data_dir).stderr
        gone = run("streams", "kick", "alice", data_dir=data_dir)
        assert (gone.exit_code, "no stream named alice is live" in gone.stderr) == (EXIT_NOT_FOUND, True)

    def test_without_a_server_there_is_nobody_to_ask(self, data_dir: Path) -> None:
        result = run("streams", "list", data_dir=data_dir)
        assert (result.exit_code, "no server runs on data directory" in result.stderr) == (EXIT_FAILED, True)
