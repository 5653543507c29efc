"""A real OBS Studio, headless: started, sent live, watched and stopped.

OBS runs under an X server of its own with software rendering, on a configuration folder of its own
(profile, scene, custom service), and is driven over obs-websocket 5. Debian 12 has OBS 29.0.2.
"""

from __future__ import annotations

import asyncio
import base64
import configparser
import contextlib
import enum
import hashlib
import io
import json
import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.patience import PATIENCE_S
from tests.support.tools import free_port, require

_NAME = "streamd"
# Who has not gone by then is killed.
_GOODBYE_S = 10.0
# obs-websocket protocol 5: OpCodes, and the event category of outputs.
_IDENTIFY, _IDENTIFIED, _EVENT, _REQUEST, _RESPONSE = 1, 2, 5, 6, 7
_EVENTS_OF_OUTPUTS = 1 << 6
# Codes of obs_output_stop, which OBS shows as a dialog: obs-defs.h OBS_OUTPUT_*.
INVALID_STREAM = -3


class OutputMode(enum.Enum):
    """The two halves of OBS's output settings."""

    SIMPLE = "Simple"
    """What a new user has. OBS's own defaults: 250 frames between keyframes, scene cuts, B-frames."""
    ADVANCED = "Advanced"
    """With the keyframe interval that streaming services ask for."""


@dataclass(frozen=True)
class Settings:
    """What a broadcaster types into OBS, and a picture that two cores encode in software."""

    server: str
    """Settings, Stream, Server."""
    stream_key: str = field(repr=False)
    """Settings, Stream, Stream Key."""
    mode: OutputMode = OutputMode.ADVANCED
    keyframe_interval_s: int = 2
    """Advanced mode only: Simple mode has no such field."""
    width: int = 640
    height: int = 360
    frames_per_second: int = 30
    video_kbps: int = 600
    audio_kbps: int = 96
    reconnect_delay_s: int = 2


@dataclass(frozen=True)
class StreamState:
    """One obs-websocket ``StreamStateChanged``."""

    state: str
    """For example ``OBS_WEBSOCKET_OUTPUT_STARTED``."""
    is_active: bool


class Obs:
    """An OBS that runs. Made by ``running``."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse, log_folder: Path, secret: str) -> None:
        self._socket = socket_
        self._log_folder = log_folder
        self._secret = secret
        self._request_count = 0
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._changed = asyncio.Event()
        self.states: list[StreamState] = []
        """Every change of the stream output since OBS was started, in order."""

    @property
    def log_text(self) -> str:
        """OBS's own log, without the stream key."""
        logs = sorted(self._log_folder.glob("*.txt"))
        text = "".join(path.read_text(errors="replace") for path in logs)
        return text.replace(self._secret, "STREAM_KEY")

    async def start_stream(self) -> None:
        """Press Start Streaming."""
        await self._request("StartStream")

    async def stop_stream(self) -> None:
        """Press Stop Streaming, and wait until OBS has said goodbye to the server."""
        await self._request("StopStream")
        await self.reached("OBS_WEBSOCKET_OUTPUT_STOPPED", within_s=PATIENCE_S)

    async def status(self) -> dict[str, Any]:
        """``GetStreamStatus``: outputActive, outputReconnecting, outputTotalFrames, outputSkippedFrames…"""
        return await self._request("GetStreamStatus")

    async def version(self) -> dict[str, Any]:
        """``GetVersion``: obsVersion, obsWebSocketVersion…"""
        return await self._request("GetVersion")

    async def reached(self, state: str, *, within_s: float) -> None:
        """Wait until the stream output has changed to ``state`` at least once.

        Raises:
            TimeoutError: It has not; the message has the states it went through and the end of OBS's log.
        """
        try:
            async with asyncio.timeout(within_s):
                while state not in (seen.state for seen in self.states):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            seen = [change.state for change in self.states]
            tail = "\n".join(self.log_text.splitlines()[-25:])
            raise TimeoutError(f"OBS did not reach {state} within {within_s} s, only {seen}:\n{tail}") from None

    async def _request(self, request_type: str) -> dict[str, Any]:
        self._request_count += 1
        request_id = str(self._request_count)
        answer = self._answers[request_id] = asyncio.get_running_loop().create_future()
        await self._socket.send_json(
            {"op": _REQUEST, "d": {"requestType": request_type, "requestId": request_id, "requestData": {}}}
        )
        response = await asyncio.wait_for(answer, PATIENCE_S)
        status = response["requestStatus"]
        if not status["result"]:
            raise RuntimeError(f"OBS refused {request_type}: {status}")
        data: dict[str, Any] = response.get("responseData", {})
        return data

    async def read(self) -> None:
        """Dispatch what OBS says until the socket ends."""
        async for message in self._socket:
            envelope = json.loads(message.data)
            body = envelope["d"]
            if envelope["op"] == _RESPONSE:
                self._answers.pop(body["requestId"]).set_result(body)
            elif envelope["op"] == _EVENT and body["eventType"] == "StreamStateChanged":
                data = body["eventData"]
                self.states.append(StreamState(data["outputState"], data["outputActive"]))
                self._changed.set()


@contextlib.asynccontextmanager
async def running(settings: Settings, clip: Path) -> AsyncIterator[Obs]:
    """Start OBS, idle and connected, and end it for certain.

    Args:
        settings: What to stream, and where to.
        clip: A video file that OBS plays in a loop as its scene.
    """
    require("obs", "Xvfb", "dbus-run-session")
    with tempfile.TemporaryDirectory(prefix="streamd-obs-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        websocket_port, websocket_password = free_port(), secrets.token_hex(16)
        _write_configuration(home / "obs-studio", settings, clip, websocket_port, websocket_password)
        (home / "run").mkdir(mode=0o700)
        async with (
            _x_server() as display,
            _obs_process(home, display),
            aiohttp.ClientSession() as session,
            _obs_websocket(session, websocket_port, websocket_password) as socket_,
        ):
            obs = Obs(socket_, home / "obs-studio" / "logs", settings.stream_key)
            reader = asyncio.create_task(obs.read())
            try:
                yield obs
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)


@contextlib.asynccontextmanager
async def _x_server() -> AsyncIterator[str]:
    """An X server on a display number that it picks itself."""
    read_fd, write_fd = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *("Xvfb", "-displayfd", str(write_fd), "-screen", "0", "1280x800x24", "-nolisten", "tcp"),
            pass_fds=(write_fd,),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    finally:
        os.close(write_fd)
    try:
        # Xvfb writes the number when it is ready for clients; should it die, its end of the pipe closes.
        with os.fdopen(read_fd, "rb") as ready:
            number = await asyncio.to_thread(ready.readline)
        yield f":{int(number)}"
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def _obs_process(home: Path, display: str) -> AsyncIterator[None]:
    environment = os.environ | {
        "DISPLAY": display,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "LC_ALL": "C.UTF-8",
        "QT_QPA_PLATFORM": "xcb",
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "GALLIUM_DRIVER": "llvmpipe",
        # One rasterizer thread: with one a core, the encoder and the server under test starve.
        "LP_NUM_THREADS": "1",
        # OBS asks for its list of services at start; a closed port answers at once.
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    process = await asyncio.create_subprocess_exec(
        *("dbus-run-session", "--", "obs", "--multi", "--minimize-to-tray"),
        *("--profile", _NAME, "--collection", _NAME, "--scene", _NAME),
        *("--disable-updater", "--disable-missing-files-check", "--websocket_ipv4_only"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        # A process group of its own: dbus-run-session does not pass signals on to OBS.
        start_new_session=True,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _GOODBYE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@contextlib.asynccontextmanager
async def _obs_websocket(
    session: aiohttp.ClientSession, port: int, password: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Connect as soon as OBS listens, and identify.

    Spec: obs-websocket 5 protocol, Connecting to obs-websocket.
    """
    socket_ = await asyncio.wait_for(_connect_when_up(session, port), PATIENCE_S)
    async with socket_:
        hello = (await socket_.receive_json(timeout=PATIENCE_S))["d"]
        challenge = hello["authentication"]
        secret = _sha256_base64(password + challenge["salt"])
        identify = {
            "rpcVersion": 1,
            "authentication": _sha256_base64(secret + challenge["challenge"]),
            "eventSubscriptions": _EVENTS_OF_OUTPUTS,
        }
        await socket_.send_json({"op": _IDENTIFY, "d": identify})
        identified = await socket_.receive_json(timeout=PATIENCE_S)
        assert identified["op"] == _IDENTIFIED
        yield socket_


async def _connect_when_up(session: aiohttp.ClientSession, port: int) -> aiohttp.ClientWebSocketResponse:
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            return await session.ws_connect(f"http://127.0.0.1:{port}", protocols=("obswebsocket.json",))
        await asyncio.sleep(0.2)


def _sha256_base64(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _write_configuration(
    folder: Path, settings: Settings, clip: Path, websocket_port: int, websocket_password: str
) -> None:
    """Everything that OBS would ask a new user, answered."""
    profile = folder / "basic" / "profiles" / _NAME
    scenes = folder / "basic" / "scenes"
    profile.mkdir(parents=True)
    scenes.mkdir(parents=True)
    (folder / "global.ini").write_text(
        _ini(
            {
                "General": {
                    "FirstRun": True,
                    "LastVersion": 29 << 24 | 2,  # MAKE_SEMANTIC_VERSION(29, 0, 2): no news of a new version
                    "EnableAutoUpdates": False,
                    "ConfirmOnExit": False,
                },
                # obs-websocket listens on all addresses and has no setting for it: hence a random password.
                "OBSWebSocket": {
                    "FirstLoad": False,
                    "ServerEnabled": True,
                    "ServerPort": websocket_port,
                    "AuthRequired": True,
                    "ServerPassword": websocket_password,
                    "AlertsEnabled": False,
                },
                "Basic": {
                    "Profile": _NAME,
                    "ProfileDir": _NAME,
                    "SceneCollection": _NAME,
                    "SceneCollectionFile": _NAME,
                    "ConfigOnNewProfile": False,
                },
                "BasicWindow": {
                    "WarnBeforeStartingStream": False,
                    "WarnBeforeStoppingStream": False,
                    "PreviewEnabled": False,
                    "SysTrayEnabled": True,
                },
            }
        )
    )
    (profile / "basic.ini").write_text(
        _ini(
            {
                "General": {"Name": _NAME},
                "Video": {
                    "BaseCX": settings.width,
                    "BaseCY": settings.height,
                    "OutputCX": settings.width,
                    "OutputCY": settings.height,
                    "FPSType": 0,
                    "FPSCommon": settings.frames_per_second,
                },
                "Audio": {"SampleRate": 48_000, "ChannelSetup": "Stereo"},
                "Output": {
                    "Mode": settings.mode.value,
                    "Reconnect": True,
                    "RetryDelay": settings.reconnect_delay_s,
                    "MaxRetries": 25,
                },
                # Simple mode keeps OBS's defaults but for the bitrates.
                "SimpleOutput": {"VBitrate": settings.video_kbps, "ABitrate": settings.audio_kbps},
                "AdvOut": {
                    "Encoder": "obs_x264",
                    "AudioEncoder": "ffmpeg_aac",
                    "TrackIndex": 1,
                    "Track1Bitrate": settings.audio_kbps,
                    "ApplyServiceSettings": True,
                },
            }
        )
    )
    (profile / "streamEncoder.json").write_text(
        json.dumps(
            {
                "rate_control": "CBR",
                "bitrate": settings.video_kbps,
                "keyint_sec": settings.keyframe_interval_s,
                "preset": "superfast",
                "profile": "high",
            }
        )
    )
    service = {"server": settings.server, "key": settings.stream_key, "use_auth": False}
    (profile / "service.json").write_text(json.dumps({"type": "rtmp_custom", "settings": service}))
    (scenes / f"{_NAME}.json").write_text(json.dumps(_scene_collection(settings, clip)))


def _scene_collection(settings: Settings, clip: Path) -> dict[str, Any]:
    """One scene that shows ``clip`` and lets its sound be heard."""
    common = {"mixers": 255, "muted": False, "volume": 1.0, "enabled": True}
    player = {
        "id": "ffmpeg_source",
        "versioned_id": "ffmpeg_source",
        "name": "clip",
        "settings": {
            "local_file": str(clip),
            "is_local_file": True,
            "looping": True,
            "close_when_inactive": False,
        },
    }
    item = {
        "name": "clip",
        "id": 1,
        "visible": True,
        "align": 5,
        "pos": {"x": 0.0, "y": 0.0},
        "scale": {"x": 1.0, "y": 1.0},
        "bounds_type": 2,
        "bounds": {"x": float(settings.width), "y": float(settings.height)},
    }
    scene = {
        "id": "scene",
        "versioned_id": "scene",
        "name": _NAME,
        "settings": {"id_counter": 1, "items": [item]},
    }
    return {
        "name": _NAME,
        "current_scene": _NAME,
        "current_program_scene": _NAME,
        "scene_order": [{"name": _NAME}],
        "sources": [player | common, scene | common],
    }


def _ini(sections: dict[str, dict[str, object]]) -> str:
    """An OBS configuration file: keys keep their case, truth is ``true``."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # configparser's documented way to keep case
    for section, values in sections.items():
        parser[section] = {
            key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in values.items()
        }
    text = io.StringIO()
    parser.write(text, space_around_delimiters=False)
    return text.getvalue()
