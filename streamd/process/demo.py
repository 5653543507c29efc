"""``streamd demo``: the main job on one machine, with nothing to set up.

Runs the server in a temporary data directory, issues a key for user ``demo``, broadcasts a test
picture to itself over real RTMP, and prints where to watch, what to type into OBS, and how to
revoke the key.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import sys
import tempfile
import webbrowser
from typing import TYPE_CHECKING

from streamd.process.config import Config
from streamd.process.run import EXIT_OK, run_until_stopped
from streamd.process.workers.commands import TESTCARD_COMMAND, worker_environment
from streamd.process.workers.testcard import Order
from streamd.services.audit.records import Actor

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

    from streamd.process.server import Server

USER = "demo"
EXIT_FAILED = 1
# Keyframes come every 2 s, so the first playlist is there after the second of them; the rest is for slow machines.
PLAYABLE_TIMEOUT_S = 20.0
TESTCARD_STOP_TIMEOUT_S = 5.0
POLL_INTERVAL_S = 0.05


def run_demo(duration_s: float | None, open_browser: bool) -> int:
    """Run the demonstration until Ctrl-C, SIGTERM or the end of ``duration_s``.

    Args:
        duration_s: Seconds to broadcast, or None for ever.
        open_browser: Whether to open the watch page in the user's browser.

    Returns:
        The exit code of the process.
    """
    with tempfile.TemporaryDirectory(prefix="streamd-demo-") as data_dir:
        config = Config.model_validate(
            {
                "server": {"data_dir": data_dir},
                "rtmp": {"listen": f"127.0.0.1:{_free_port(1935)}"},
                "http": {"listen": f"127.0.0.1:{_free_port(8080)}"},
                "admin": {"listen": f"127.0.0.1:{_free_port(8081)}"},
                "log": {"level": "warning"},
            }
        )
        # Its directory goes with it: there is no next server.
        return run_until_stopped(config, lambda server: _demonstrate(server, duration_s, open_browser), is_final=True)


async def _demonstrate(server: Server, duration_s: float | None, open_browser: bool) -> int:
    issued = await server.services.keys.issue(USER, by=Actor("demo"), label="streamd demo")
    stream_key = issued.stream_key.reveal()
    order = Order(f"rtmp://{server.addresses.rtmp}/live", stream_key, duration_s=duration_s)
    async with _testcard(order) as testcard:
        if not await _wait_until_playable(server, testcard):
            return EXIT_FAILED
        watch_url = f"http://{server.addresses.http}/watch/{USER}"
        print(_instructions(server, watch_url, stream_key, issued.record.key_id), flush=True)
        if open_browser:
            # Starting a browser may block for as long as it likes.
            await asyncio.to_thread(webbrowser.open, watch_url)
        await testcard.wait()
        if testcard.returncode == 0:
            print("The broadcast has ended.")
            return EXIT_OK
        print("The server has ended the test broadcast: its key was revoked, or it was kicked. Ctrl-C to stop.")
        await asyncio.Event().wait()
    return EXIT_OK


@contextlib.asynccontextmanager
async def _testcard(order: Order) -> AsyncIterator[Process]:
    """Run the broadcaster as a process of its own, and end it as an encoder's stop button does."""
    process = await asyncio.create_subprocess_exec(
        *TESTCARD_COMMAND, stdin=asyncio.subprocess.PIPE, env=worker_environment(os.environ)
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(dataclasses.asdict(order)).encode() + b"\n")
    process.stdin.close()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(TESTCARD_STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _wait_until_playable(server: Server, testcard: Process) -> bool:
    """Wait for the playlist of the test broadcast; say on stderr why there is none."""
    print("Starting the test broadcast ...", flush=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PLAYABLE_TIMEOUT_S):
            while testcard.returncode is None:
                channel = server.services.registry.find_channel(USER)
                if channel is not None and channel.presentation is not None:
                    return True
                await asyncio.sleep(POLL_INTERVAL_S)
            print("streamd demo: the test broadcast ended before it could be watched", file=sys.stderr)
            return False
    print(f"streamd demo: nothing to watch after {PLAYABLE_TIMEOUT_S:g} s", file=sys.stderr)
    return False


def _instructions(server: Server, watch_url: str, stream_key: str, key_id: str) -> str:
    return f"""
  Watch          {watch_url}
  Playlist       http://{server.addresses.http}/live/{USER}/index.m3u8

  A broadcast of your own (end this one first, or issue a key for another user):
  OBS            Settings > Stream > Service: Custom...
    Server       rtmp://{server.addresses.rtmp}/live
    Stream Key   {stream_key}

  Revoke the key, and see the broadcast go dark:
    streamd keys revoke {key_id} --data-dir {server.config.data_dir}

Ctrl-C to stop.
"""


def _free_port(preferred: int) -> int:
    """``preferred`` where it is free on loopback, else any free port."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    return preferred
