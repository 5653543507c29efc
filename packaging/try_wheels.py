"""Tries the wheels of a release, each as an operator would.

    python packaging/try_wheels.py [DIRECTORY] [--python PYTHON]... [--root ARCH=DIRECTORY]... [--allow-missing]

For each wheel of ``DIRECTORY`` (default: ``dist``) and a Python that it is for: a new environment, an installation
under ``PYTHONSAFEPATH=1`` with the versions of ``constraints.txt``, the version, that all is compiled, ``config init``
and ``config check``, a server, a key, and ten seconds of FFmpeg until a playlist has a segment and a picture is there;
then a revocation and a stop. It needs ``ffmpeg``.

A wheel of another processor runs under ``qemu`` with ``--root ARCH=DIRECTORY``, the directory being a Debian of that
processor with its Python; processes that the server starts do not run there, so there is no picture.

What could not be tried is said, and makes the exit status 1 unless ``--allow-missing`` is given.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from build_release import ROOT, ReleaseError, find_pythons, run

# What takes longer is broken: a start takes two seconds, and ten times that under qemu.
PATIENCE_S = 90.0
POLL_S = 0.1
WHEEL = re.compile(
    r"streamd-(?P<version>[^-]+)-cp(?P<major>\d)(?P<minor>\d+)-[^-]+-manylinux_\d+_\d+_(?P<arch>\w+)\.whl"
)


@dataclass(frozen=True)
class Wheel:
    """A file, and what its name says."""

    path: Path
    version: str
    python: str
    arch: str

    @classmethod
    def of(cls, path: Path) -> Wheel:
        """Read a name.

        Raises:
            ReleaseError: It is that of no wheel of ours.
        """
        found = WHEEL.fullmatch(path.name)
        if found is None:
            raise ReleaseError(f"{path.name} is no wheel of a release")
        return cls(path, found["version"], f"{found['major']}.{found['minor']}", found["arch"])


@dataclass(frozen=True)
class Program:
    """An installed streamd: how it is called, and in what environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    starts_processes: bool = True

    def run(self, *arguments: object) -> str:
        """Run a command of it, and return what it printed."""
        return run([*self.command, *arguments], environment=self.environment)


def pins() -> str:
    """The versions of ``constraints.txt`` without their hashes: a wheel that was just built has none to show."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return "\n".join(line.rstrip("\\ ") for line in lines if "==" in line)


def install(wheel: Wheel, python: Path, directory: Path) -> Program:
    """Install a wheel of this machine's processor into a new environment."""
    constraints = directory / "pins.txt"
    constraints.write_text(pins(), "utf-8")
    venv = directory / "venv"
    run([python, "-m", "venv", venv])
    safe = {"PYTHONSAFEPATH": "1"}
    run([venv / "bin" / "pip", "install", "--quiet", "-c", constraints, wheel.path], directory, safe)
    return Program((str(venv / "bin" / "streamd"),), safe)


def install_elsewhere(wheel: Wheel, root: Path, directory: Path) -> Program:
    """Put a wheel of another processor, and what it needs, where that processor's Python finds it."""
    constraints, site = directory / "pins.txt", directory / "site"
    constraints.write_text(pins(), "utf-8")
    glibc = (f"--platform=manylinux_2_{minor}_{wheel.arch}" for minor in (17, 28))
    only = ["--only-binary=:all:", f"--python-version={wheel.python}", "--implementation=cp", *glibc]
    only += [f"--platform=manylinux2014_{wheel.arch}", "--target", str(site)]
    run([sys.executable, "-m", "pip", "install", "--quiet", "-c", constraints, *only, wheel.path])
    python = root / "usr" / "bin" / f"python{wheel.python}"
    qemu = f"qemu-{wheel.arch}-static"
    return Program(
        (qemu, "-L", str(root), "-E", f"PYTHONPATH={site}", "-E", "PYTHONSAFEPATH=1", str(python), "-m", "streamd"),
        {},
        starts_processes=False,
    )


def free_port() -> int:
    """A port of the loopback interface that nobody has now."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
        return port


def fetch(url: str) -> bytes:
    """What an address answers with 200; empty for all else."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - loopback
        return bytes(response.read()) if response.status == 200 else b""
    return b""


def wait_for(what: str, is_there: Callable[[], object]) -> None:
    """Wait until something is so.

    Raises:
        ReleaseError: It does not come.
    """
    for _ in range(round(PATIENCE_S / POLL_S)):
        if is_there():
            return
        time.sleep(POLL_S)
    raise ReleaseError(f"{what} does not come within {PATIENCE_S:g} s")


@contextlib.contextmanager
def running(command: Sequence[object], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process until the block is left."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
            [str(part) for part in command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def publish(stream_key: str, port: int) -> list[str]:
    """FFmpeg's command for a broadcast, with keyframes 1 s apart."""
    picture = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine", "-pix_fmt", "yuv420p"]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac", "-f", "flv"]
    return ["ffmpeg", "-v", "error", "-re", *picture, *codecs, f"rtmp://127.0.0.1:{port}/live/{stream_key}"]


def try_program(program: Program, version: str, directory: Path) -> None:
    """Do with it what an operator does in the first minutes.

    Raises:
        ReleaseError: Something of it does not work.
    """
    said = program.run("--version")
    if version not in said:
        raise ReleaseError(f"--version says {said.strip()}, and the wheel's name {version}")
    program.run("config", "init", "--directory", directory)
    program.run("config", "check", directory / "streamd.toml")
    rtmp, http, admin = free_port(), free_port(), free_port()
    data = ["--data-dir", directory / "data"]
    listen = {"RTMP": rtmp, "HTTP": http, "ADMIN": admin}
    environment = {f"STREAMD_{name}__LISTEN": f"127.0.0.1:{port}" for name, port in listen.items()}
    environment |= {**program.environment, "STREAMD_LOG__FORMAT": "json"}
    program = Program(program.command, environment, program.starts_processes)
    log = directory / "server.log"
    with running([*program.command, "serve", *data], environment, log) as server:
        wait_for("/readyz", lambda: fetch(f"http://127.0.0.1:{admin}/readyz"))
        started = next(line for line in log.read_text("utf-8").splitlines() if "server.started" in line)
        if json.loads(started)["compiled"] is not True:
            raise ReleaseError(f"not all of it is compiled: {started}")
        key = json.loads(program.run("keys", "issue", "alice", "--json", *data))
        live = f"http://127.0.0.1:{http}/live/alice"
        with running(publish(key["stream_key"], rtmp), {}, directory / "ffmpeg.log") as encoder:
            wait_for("a segment", lambda: b"#EXTINF" in fetch(f"{live}/main.m3u8"))
            segment = re.findall(rb"^[^#\n]+\.m4s$", fetch(f"{live}/main.m3u8"), re.MULTILINE)[0].decode()
            if b"moof" not in fetch(f"{live}/{segment}"):
                raise ReleaseError(f"{segment} is no media")
            if program.starts_processes:
                wait_for("a picture", lambda: fetch(f"{live}/poster.jpg").startswith(b"\xff\xd8"))
            program.run("keys", "revoke", key["id"], *data)
            wait_for("the end of the broadcast", lambda: encoder.poll() is not None)
        server.send_signal(signal.SIGTERM)
        if server.wait(PATIENCE_S) != 0:
            raise ReleaseError(f"the server ended with {server.returncode}")


def main(arguments: Sequence[str]) -> int:
    """Try all of them.

    Returns:
        Exit status: 0 when each was tried and works.
    """
    parser = argparse.ArgumentParser(description="Try the wheels of a release.")
    parser.add_argument("directory", type=Path, nargs="?", default=ROOT / "dist", help="default: dist")
    parser.add_argument("--python", action="append", default=[], help="an interpreter; default: python3.11 and later")
    parser.add_argument("--root", action="append", default=[], metavar="ARCH=DIRECTORY", help="of another processor")
    parser.add_argument("--allow-missing", action="store_true", help="leave out what this machine has no Python for")
    options = parser.parse_args(arguments)
    pythons = find_pythons(options.python)
    roots = {arch: Path(root) for arch, _, root in (each.partition("=") for each in options.root)}
    missing, failed = [], []
    for path in sorted(options.directory.glob("*.whl")):
        try:
            wheel = Wheel.of(path)
            with tempfile.TemporaryDirectory(prefix="streamd-try-") as name:
                directory = Path(name)
                root = roots.get(wheel.arch)
                if wheel.arch == platform.machine() and wheel.python in pythons:
                    program = install(wheel, pythons[wheel.python], directory)
                elif root is not None and (root / "usr" / "bin" / f"python{wheel.python}").exists():
                    program = install_elsewhere(wheel, root, directory)
                else:
                    missing.append(path.name)
                    continue
                try_program(program, wheel.version, directory)
        except ReleaseError as exc:
            print(f"FAILED {path.name}: {exc}", flush=True)
            failed.append(path.name)
        else:
            print(f"works: {path.name}", flush=True)
    for name in missing:
        print(f"not tried: {name}: there is no Python for it on this machine", file=sys.stderr)
    return 1 if failed or (missing and not options.allow_missing) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
