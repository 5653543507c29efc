"""Does an upgrade hold what its page says?

    python -m bench.upgrade --old DIRECTORY --new DIRECTORY [--postgresql]

``docs/upgrading.md`` is walked step by step with two installed versions (each directory has ``bin/streamd``), while an
encoder that comes back by itself publishes and a player asks for the playlist twice a second. Then it is rolled back.
What is asserted: the schema is migrated; the broadcast goes on in the same playlist, whose numbers never fall; keys
open what they opened, and a revoked one opens nothing; the old version refuses the new schema, with 2, and changes
nothing; with the backup it runs again, and so does the new one after it. Printed: how long the playlist stood still,
and what the steps took.

The database is SQLite's, or with ``--postgresql`` a server of its own on a socket. Left out: systemd.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.first_hour import answers, free_port, publishing, wait_for

NUMBER = re.compile(r"#EXT-X-MEDIA-SEQUENCE:(\d+)")


def note(what: str, value: object = True) -> None:
    """Print what was seen."""
    print(json.dumps({"name": what, "value": value}), flush=True)


class Encoder(threading.Thread):
    """Publishes, and connects again as OBS does when it was cut."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._is_over = threading.Event()

    def run(self) -> None:
        """Publish until ``stop``."""
        while not self._is_over.is_set():
            with publishing(self._url) as process:
                while process.poll() is None and not self._is_over.wait(0.1):
                    pass
            self._is_over.wait(1)

    def stop(self) -> None:
        """End it."""
        self._is_over.set()
        self.join()


class Player(threading.Thread):
    """Asks for a playlist, and notes its numbers."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._is_over = threading.Event()
        self.numbers: list[int] = []
        self.last_change_s = time.monotonic()
        self.longest_pause_s = 0.0
        self.ends = 0

    def run(self) -> None:
        """Ask until ``stop``."""
        before = ""
        while not self._is_over.wait(0.2):
            with contextlib.suppress(OSError), urllib.request.urlopen(self._url, timeout=5) as response:
                text = response.read().decode()
                if text != before:
                    now = time.monotonic()
                    self.longest_pause_s = max(self.longest_pause_s, now - self.last_change_s)
                    before, self.last_change_s = text, now
                self.ends += "#EXT-X-ENDLIST" in text
                found = NUMBER.search(text)
                if found:
                    self.numbers.append(int(found[1]))

    def stop(self) -> None:
        """End it."""
        self._is_over.set()
        self.join()


@contextlib.contextmanager
def postgresql(directory: Path) -> Iterator[str]:
    """A server of its own; its URL as libpq reads it."""
    programs = max(Path("/usr/lib/postgresql").iterdir()) / "bin"
    data = directory / "postgresql"
    data.mkdir()
    shutil.chown(data, "postgres")
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []

    def do(*arguments: object) -> None:
        command = [*as_postgres, *map(str, arguments)]
        subprocess.run(command, cwd=data, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    do(programs / "initdb", "-D", data / "data", "-A", "trust", "-U", "streamd", "--no-sync")
    options = f"-c listen_addresses= -c unix_socket_directories={data}"
    do(programs / "pg_ctl", "-D", data / "data", "-w", "-l", data / "log", "-o", options, "start")
    try:
        do(programs / "createdb", "-h", data, "-U", "streamd", "streamd")
        yield f"postgresql://streamd@/streamd?host={data}"
    finally:
        do(programs / "pg_ctl", "-D", data / "data", "-w", "-m", "fast", "stop")


class Walk:
    """The server, its directory, and the link that a unit would name.

    Args:
        directory: For all of it.
        old: An installation.
        new: A later one.
        database_url: Of PostgreSQL, as libpq reads it; empty for SQLite.
    """

    def __init__(self, directory: Path, old: Path, new: Path, database_url: str) -> None:
        self.directory = directory
        self.old, self.new = old, new
        self.data = directory / "data"
        self.data.mkdir(mode=0o700)
        self.link = directory / "streamd"
        self.rtmp, self.http, self.admin = free_port(), free_port(), free_port()
        self.config = directory / "streamd.toml"
        self.database_url = database_url
        text = f'[server]\ndata_dir = "{self.data}"\n[log]\nformat = "json"\n'
        for name, port in (("rtmp", self.rtmp), ("http", self.http), ("admin", self.admin)):
            text += f'[{name}]\nlisten = "127.0.0.1:{port}"\n'
        if database_url:
            text += f'[keys]\ndatabase_url = "{database_url.replace("postgresql:", "postgresql+asyncpg:")}"\n'
        self.config.write_text(text)
        self.log = directory / "streamd.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, where: Path, *arguments: str, status: int = 0) -> str:
        """Run a command of an installation."""
        done = subprocess.run(
            [str(where / "bin/streamd"), *arguments, *([] if "check" in arguments else ["--config"]), str(self.config)],
            cwd=self.directory, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != status:
            raise SystemExit(f"{where.name}: {arguments} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def point(self, to: Path) -> None:
        """``ln -sfn``."""
        subprocess.run(["ln", "-sfn", str(to), str(self.link)], check=True)

    def start(self) -> float:
        """Start what the link names; return the seconds until it was ready."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            command = [str(self.link / "bin/streamd"), "serve", "--config", str(self.config)]
            self.process = subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=log)
        wait_for(lambda: answers(f"http://127.0.0.1:{self.admin}/readyz"))
        return round(time.monotonic() - began, 2)

    def stop(self) -> float:
        """SIGTERM, as systemd stops it; return the seconds that it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        return round(time.monotonic() - began, 2)

    def started(self) -> Mapping[str, object]:
        """The last ``server.started`` of the log."""
        lines = [line for line in self.log.read_text().splitlines() if "server.started" in line]
        found: Mapping[str, object] = json.loads(lines[-1])
        return {name: found.get(name) for name in ("version", "compiled")}

    # -- the database ----------------------------------------------------------------------------

    def back_up(self) -> None:
        """Step 3."""
        target = self.directory / "backup"
        if self.database_url:
            command = ["pg_dump", "--format=custom", f"--file={target}", self.database_url]
        else:
            command = ["sqlite3", str(self.data / "streamd.db"), f".backup {target}"]
        subprocess.run(command, check=True)

    def restore(self) -> None:
        """As the page restores it, while nothing runs."""
        backup = self.directory / "backup"
        if self.database_url:
            there = self.database_url.replace("/streamd?", "/postgres?")
            subprocess.run(["pg_restore", "--clean", "--create", f"--dbname={there}", str(backup)], check=True)
        else:
            shutil.copy(backup, self.data / "streamd.db")
            for name in ("streamd.db-wal", "streamd.db-shm"):
                (self.data / name).unlink(missing_ok=True)
        (self.data / "audit-anchor.json").unlink(missing_ok=True)

    def schema(self) -> str:
        """The step that the database is at."""
        asked = "SELECT version_num FROM alembic_version"
        if self.database_url:
            said = subprocess.run(
                ["psql", "-Atc", asked, self.database_url], check=True, capture_output=True, text=True
            )
            return said.stdout.strip()
        with contextlib.closing(sqlite3.connect(self.data / "streamd.db")) as database:
            return str(database.execute(asked).fetchone()[0])

    def contents(self) -> str:
        """A hash of all of it."""
        if self.database_url:
            said = subprocess.run(["pg_dump", self.database_url], check=True, capture_output=True).stdout
            # Newer clients write a line that is another each time.
            data = b"\n".join(line for line in said.splitlines() if not line.startswith(b"\\"))
        else:
            with contextlib.closing(sqlite3.connect(self.data / "streamd.db")) as database:
                data = "\n".join(database.iterdump()).encode()
        return hashlib.sha256(data).hexdigest()


def walk(given: Walk) -> None:
    """The page, and its way back."""
    given.point(given.old)
    note("first start (s)", given.start())
    keys = {}
    for name in ("alice", "bob"):
        keys[name] = json.loads(given.command(given.old, "keys", "issue", name, "--json"))
    given.command(given.old, "keys", "revoke", keys["bob"]["id"], "--reason", "leaked")
    url = f"rtmp://127.0.0.1:{given.rtmp}/live/"
    live = f"http://127.0.0.1:{given.http}/live/alice/main.m3u8"
    encoder = Encoder(url + keys["alice"]["stream_key"])
    encoder.start()
    wait_for(lambda: answers(live))
    player = Player(live)
    player.start()
    time.sleep(8)
    before = given.schema()
    # 2. Install beside, and check.
    note("config check", given.command(given.new, "config", "check").strip().splitlines()[-1])
    doctor = given.command(given.new, "doctor").splitlines()
    note("doctor", [line for line in doctor if "atabase" in line or "schema" in line])
    # 3. Back up.
    given.back_up()
    # 4. Swap and restart.
    given.point(given.new)
    stopped, started = given.stop(), given.start()
    note("stop, start (s)", [stopped, started])
    # 5. See that it runs.
    wait_for(lambda: json.loads(given.command(given.new, "streams", "list", "--json")))
    note("server.started", given.started())
    time.sleep(12)
    assert player.numbers == sorted(player.numbers), "the numbers of the playlist fell"
    assert player.ends == 0, "the playlist had an end"
    note("the playlist goes on: longest time without a change (s)", round(player.longest_pause_s, 2))
    player.stop()
    note("schema", [before, given.schema()])
    state = {key["id"]: key["state"] for key in json.loads(given.command(given.new, "keys", "list", "--json"))}
    assert state == {keys["alice"]["id"]: "active", keys["bob"]["id"]: "revoked"}, state
    with publishing(url + keys["bob"]["stream_key"]) as refused:
        assert refused.wait(20) != 0
    given.command(given.new, "audit", "verify")
    # Rolling back.
    given.stop()
    if given.schema() != before:
        there = given.contents()
        given.point(given.old)
        note("the old version says", given.command(given.old, "serve", status=2).strip().splitlines()[-1][:300])
        assert given.contents() == there, "the old version has changed the new schema"
        given.restore()
    given.point(given.old)
    note("rolled back: start (s)", given.start())
    wait_for(lambda: answers(live))
    assert given.schema() == before
    # And up again: what the new version has made must not be in its own way.
    given.stop()
    given.point(given.new)
    note("up again: start (s)", given.start())
    wait_for(lambda: answers(live))
    note("schema again", given.schema())
    encoder.stop()
    note("stop (s)", given.stop())


def main() -> None:
    """Walk the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, required=True, help="an installation: it has bin/streamd")
    parser.add_argument("--new", type=Path, required=True, help="a later one")
    parser.add_argument("--postgresql", action="store_true", help="with a server of its own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        # PostgreSQL's user goes through it.
        directory.chmod(0o711)
        database_url = stack.enter_context(postgresql(directory)) if options.postgresql else ""
        given = Walk(directory, options.old.resolve(), options.new.resolve(), database_url)
        try:
            walk(given)
        except BaseException:
            print(*given.log.read_text("utf-8", "replace").splitlines()[-20:], sep="\n", file=sys.stderr)
            raise
        finally:
            if given.process is not None and given.process.poll() is None:
                given.process.kill()
                given.process.wait()


if __name__ == "__main__":
    main()
