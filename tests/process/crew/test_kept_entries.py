"""The channels' entries, kept for the next supervisor; and the ports that it keeps for its workers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamd.process.binding import StartError
from streamd.process.config.values import ListenAddress
from streamd.process.crew import kept_entries, ports
from streamd.process.crew.kept_entries import NAME, KeptEntries
from streamd.process.crew.switchboard import Switchboard


def board() -> Switchboard:
    return Switchboard(lambda _, __: None)


def put(switchboard: Switchboard, key: str, value: str) -> None:
    line = type("Line", (), {"send": lambda self, message, files=(): True})()
    switchboard.join(0, line)
    switchboard.hear(
        0, {"do": "value", "bucket": "streams", "op": "put", "key": key, "value": value, "last": 0, "id": 1}, []
    )


class TestEntries:
    @pytest.mark.asyncio
    async def test_the_next_supervisor_goes_on_with_them(self, tmp_path: Path) -> None:
        first = board()
        kept = KeptEntries(tmp_path, first)
        kept.load()
        put(first, "alice", '{"epoch":7}')
        await kept.save()
        second = board()
        KeptEntries(tmp_path, second).load()
        assert second.kept() == {"alice": '{"epoch":7}'}
        assert (tmp_path / NAME).stat().st_mode & 0o077 == 0

    @pytest.mark.asyncio
    async def test_what_has_not_changed_is_not_written(self, tmp_path: Path) -> None:
        first = board()
        kept = KeptEntries(tmp_path, first)
        await kept.save()
        assert not (tmp_path / NAME).exists()
        put(first, "alice", "x")
        await kept.save()
        (tmp_path / NAME).unlink()
        await kept.save()
        assert not (tmp_path / NAME).exists()

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"alice": ', b"\xff"])
    def test_a_file_that_cannot_be_read_is_passed_over(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / NAME).write_bytes(content)
        switchboard = board()
        KeptEntries(tmp_path, switchboard).load()
        assert switchboard.kept() == {}

    def test_a_file_that_is_too_large_is_passed_over(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_entries, "FILE_BYTES_MAX", 10)
        (tmp_path / NAME).write_text('{"alice": "x"}')
        switchboard = board()
        KeptEntries(tmp_path, switchboard).load()
        assert switchboard.kept() == {}

    @pytest.mark.asyncio
    async def test_a_disk_that_takes_nothing_stops_nothing(self, tmp_path: Path) -> None:
        first = board()
        kept = KeptEntries(tmp_path / "nowhere", first)
        kept.load()
        put(first, "alice", "x")
        await kept.save()
        (tmp_path / "nowhere").mkdir()
        await kept.save()
        assert (tmp_path / "nowhere" / NAME).exists()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class TestPorts:
    def test_workers_listen_beside_each_other_on_a_port_that_is_kept(self, stack: ExitStack) -> None:
        [kept] = [stack.enter_context(each) for each in ports.keep("http.listen", ListenAddress("127.0.0.1", 0))]
        port = kept.getsockname()[1]
        workers = [stack.enter_context(socket.create_server(("127.0.0.1", port), reuse_port=True)) for _ in range(2)]
        for _ in range(16):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        accepted = 0
        for worker in workers:
            worker.setblocking(False)
            while True:
                try:
                    stack.enter_context(worker.accept()[0])
                except BlockingIOError:
                    break
                accepted += 1
        # None went to the socket that only keeps the port.
        assert accepted == 16

    def test_a_port_that_another_program_listens_on_is_refused(self, stack: ExitStack) -> None:
        other = stack.enter_context(socket.create_server(("127.0.0.1", 0), reuse_port=True))
        at = ListenAddress("127.0.0.1", other.getsockname()[1])
        with pytest.raises(StartError, match=r"http\.listen = .* is in use by another program"):
            ports.keep("http.listen", at)
        with pytest.raises(StartError, match=r"rtmp\.listen = .* is in use by another program"):
            ports.listen("rtmp.listen", at, 10)

    def test_all_families_have_one_port(self, stack: ExitStack) -> None:
        sockets = [stack.enter_context(each) for each in ports.listen("rtmp.listen", ListenAddress("", 0), 10)]
        assert len({each.getsockname()[1] for each in sockets}) == 1
        assert len({each.family for each in sockets}) == len(sockets)
