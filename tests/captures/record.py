"""Remakes the wire captures in this folder: what each encoder sends, byte for byte, in a short publish.

Run from the repository's root, with any RTMP server that takes the key ``capture-key``::

    python -m tests.captures.record --server 127.0.0.1:1935 --server-name "nginx-rtmp 1.2.2"

README.md here says what the files are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, STDOUT

from tests.support import clients, obs
from tests.support.wire_tap import Recording, WireTap

FOLDER = Path(__file__).parent
# Not of the form of a real key, and good on no server.
STREAM_KEY = "capture-key"
SECONDS = 3.5
PICTURE = clients.Picture()
OBS_MODES = {"obs": obs.OutputMode.ADVANCED, "obs-simple": obs.OutputMode.SIMPLE}
VERSION_COMMANDS = {
    "ffmpeg": ["ffmpeg", "-version"],
    "pyav": [sys.executable, "-c", "import av; print('PyAV', av.__version__, 'FFmpeg', av.ffmpeg_version_info)"],
    "rtmp2sink": ["gst-launch-1.0", "--version"],
    "librtmp": ["rtmpdump", "--help"],
}


def main() -> None:
    names = [*OBS_MODES, *clients.PUBLISHERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, metavar="HOST:PORT")
    parser.add_argument("--server-name", required=True, help="who answers, for the record")
    parser.add_argument("--client", action="append", choices=names, help="only this one; may be repeated")
    arguments = parser.parse_args()
    host, _, port = arguments.server.rpartition(":")
    for name in arguments.client or names:
        asyncio.run(record(name, host, int(port), arguments.server_name))


async def record(name: str, host: str, port: int, server_name: str) -> None:
    """Let one encoder publish through a tap, and write down what it sent."""
    async with WireTap(host, port) as tap:
        server_url = f"rtmp://127.0.0.1:{tap.port}/live"
        if name in OBS_MODES:
            version, command = await _publish_with_obs(OBS_MODES[name], server_url)
        else:
            version, command = await asyncio.to_thread(_publish_with_client, name, server_url)
    _write(name, version, command, server_name, tap.recordings[0])


def _publish_with_client(name: str, server_url: str) -> tuple[str, str]:
    command = clients.PUBLISHERS[name](server_url, STREAM_KEY, SECONDS, PICTURE)
    with clients.running(command) as client:
        exit_code = client.finish(timeout_s=30)
        if exit_code != 0:
            raise SystemExit(f"{name} exited with {exit_code}:\n{client.output}")
    version = subprocess.run(VERSION_COMMANDS[name], text=True, stdout=PIPE, stderr=STDOUT, check=True).stdout
    return version.splitlines()[0].partition(" Copyright")[0], command.shown


async def _publish_with_obs(mode: obs.OutputMode, server_url: str) -> tuple[str, str]:
    settings = obs.Settings(
        server_url,
        STREAM_KEY,
        mode=mode,
        keyframe_interval_s=PICTURE.keyframe_interval_s,
        width=PICTURE.width,
        height=PICTURE.height,
        video_kbps=PICTURE.video_kbps,
        audio_kbps=PICTURE.audio_kbps,
    )
    with tempfile.TemporaryDirectory() as folder:
        clip = clients.make_clip(Path(folder) / "clip.mp4")
        async with obs.running(settings, clip) as studio:
            await studio.start_stream()
            await studio.reached("OBS_WEBSOCKET_OUTPUT_STARTED", within_s=10)
            await asyncio.sleep(SECONDS)
            await studio.stop_stream()
            version = f"OBS Studio {(await studio.version())['obsVersion']}"
    return (
        version,
        f"obs --multi --minimize-to-tray, stream started and stopped over obs-websocket; {settings}",
    )


def _write(name: str, version: str, command: str, server_name: str, recording: Recording) -> None:
    sent, answered = bytes(recording.client_bytes), bytes(recording.server_bytes)
    statuses = [code.decode() for code in re.findall(rb"Net(?:Connection|Stream)\.[A-Za-z.]+", answered)]
    facts = {
        "client": name,
        "version": version,
        "command": command,
        "stream_key": STREAM_KEY,
        "recorded": datetime.now(UTC).date().isoformat(),
        "bytes": len(sent),
        "server": server_name,
        "server_statuses": statuses,
    }
    (FOLDER / f"{name}.publish.bin").write_bytes(sent)
    # A TOML string, integer or list of strings is written like JSON's.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in facts.items()]
    (FOLDER / f"{name}.publish.toml").write_text("".join(lines))


if __name__ == "__main__":
    main()
