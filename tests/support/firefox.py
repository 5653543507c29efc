"""Firefox for a test, without a driver: it speaks WebDriver BiDi itself.

Spec: W3C WebDriver BiDi (session.new, browsingContext.navigate, script.callFunction).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMES = ("firefox-esr", "firefox")
_PREFERENCES = {
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}
_READY = re.compile(r"WebDriver BiDi listening on (ws://\S+)")


class FirefoxPage:
    """A tab.

    Args:
        socket: To the browser, in a session.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._count = 0
        self._context = ""

    async def begin(self) -> None:
        """Begin a session, and take the tab that is there."""
        await self._command("session.new", capabilities={})
        tree = await self._command("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]

    async def open(self, url: str) -> None:
        """Go to a page."""
        await self._command("browsingContext.navigate", context=self._context, url=url, wait="interactive")

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, by way of JSON."""
        answer = await self._command(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then((value) => JSON.stringify(value ?? null))",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    async def wait_for(self, expression: str, about: str) -> None:
        """Wait until an expression is true.

        Raises:
            AssertionError: It was not in time; ``about`` is evaluated for the message.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.evaluate(
                    f"new Promise((done) => {{ const look = () => ({expression}) ? done(true) : setTimeout(look, 100);"
                    " look(); })"
                )
        except TimeoutError:
            raise AssertionError(f"not in time: {expression}; {await self.evaluate(about)}") from None

    async def _command(self, method: str, **parameters: Any) -> Any:
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        while True:
            said = await self._socket.receive_json(timeout=PATIENCE_S)
            if said.get("id") == self._count:
                assert said["type"] == "success", said
                return said["result"]


@contextlib.asynccontextmanager
async def firefox() -> AsyncIterator[FirefoxPage]:
    """A running Firefox with an empty profile; skips the test where there is none."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no firefox on PATH; CI installs Debian's")
        pytest.skip("no firefox on PATH (Debian: apt-get install firefox-esr)")
    with tempfile.TemporaryDirectory(prefix="streamd-firefox-", ignore_cleanup_errors=True) as profile:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in _PREFERENCES.items()]
        await asyncio.to_thread(Path(profile, "user.js").write_text, "".join(lines))
        process = await asyncio.create_subprocess_exec(
            path, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": profile, "MOZ_CRASHREPORTER_DISABLE": "1"},
        )  # fmt: skip
        assert process.stderr is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (ready := _READY.search((await process.stderr.readline()).decode(errors="replace"))) is None:
                    assert process.returncode is None, "Firefox ended"
            # Nobody reads more of it.
            draining = asyncio.create_task(process.stderr.read())
            async with aiohttp.ClientSession() as session, session.ws_connect(f"{ready[1]}/session") as socket:
                page = FirefoxPage(socket)
                await page.begin()
                yield page
            draining.cancel()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
