"""What was changed in evidence is found, wherever it was changed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from sqlalchemy import delete, text, update

from streamd.errors import StoreUnavailableError
from streamd.services.moderation.evidence import verify as evidence_verify
from streamd.services.moderation.evidence.chain import BEGIN_HASH
from streamd.services.moderation.evidence.verify import verify_evidence
from streamd.services.store.schema import evidence, evidence_chain
from tests.support.evidence import EvidenceHouse, PaintedArtist, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.moderation.evidence.chain import EvidenceRecord
    from streamd.services.moderation.evidence.verify import Verdict

pytestmark = pytest.mark.asyncio

PIECES = 3


class Shelf:
    """Three pieces."""

    def __init__(self, house: EvidenceHouse, store: KeyStore, pieces: list[EvidenceRecord]) -> None:
        self.house = house
        self.store = store
        self.pieces = pieces

    def path(self, number: int) -> Path:
        return self.house.directory / self.pieces[number].id

    async def change(self, number: int, **values: object) -> None:
        """Write over a row."""
        async with self.store.database.writing() as connection:
            of = evidence.c.id == self.pieces[number].id
            await connection.execute(update(evidence).where(of).values(values))

    async def verdict(self, anchor: tuple[int, bytes] | None = None) -> Verdict:
        return await verify_evidence(self.house.store, self.house.directory, anchor)


@pytest_asyncio.fixture
async def shelf(store: KeyStore, tmp_path: Path) -> AsyncIterator[Shelf]:
    house = EvidenceHouse(store, tmp_path, PaintedArtist())
    await house.room.open()
    await house.go_live(4)
    pieces = [await house.keep(f"case_{number:026d}") for number in range(PIECES)]
    yield Shelf(house, store, pieces)
    await house.room.close()


async def test_what_is_whole_is_said_to_be(shelf: Shelf) -> None:
    verdict = await shelf.verdict()
    assert (verdict.pieces, verdict.fault_count) == (PIECES, 0)
    last = shelf.pieces[-1]
    assert verdict.end == f"{PIECES}:{last.hash.hex()}"
    await shelf.house.keep("case_00000000000000000000000009", Target(id="nobody", channel="nobody"))
    assert (await shelf.verdict((PIECES, last.hash))).faults == ()


@pytest.mark.parametrize("name", ["main-0.mp4", "keyframe.jpg", "facts.json", "SHA256SUMS", "chain.json"])
async def test_one_flipped_byte_is_found(shelf: Shelf, name: str) -> None:
    path = shelf.path(1) / name
    data = bytearray(path.read_bytes())
    data[data.index(b'"hash"') + 12 if name == "chain.json" else len(data) // 2] ^= 1
    path.write_bytes(data)
    (first, *_) = (await shelf.verdict()).faults
    assert first.startswith(shelf.pieces[1].id)
    assert name in first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: (path / "main-0.mp4").unlink(), "main-0.mp4 cannot be read"),
        (lambda path: (path / "more.mp4").write_bytes(b"x"), "more.mp4 was added"),
        (lambda path: (path / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
        (lambda path: (path / "SHA256SUMS").write_bytes(b"\xff" * 100_000), "cannot be read"),
        (lambda path: (path / "chain.json").unlink(), "chain.json is missing"),
        (shutil.rmtree, "not on this disk"),
        (lambda path: path.rename(path.with_name(path.name[:-1] + "0")), "not on this disk"),
    ],
)
async def test_files_that_are_not_as_they_were(shelf: Shelf, change: Callable[[Path], object], said: str) -> None:
    change(shelf.path(1))
    verdict = await shelf.verdict()
    assert verdict.fault_count
    assert said in verdict.faults[0]
    assert all(shelf.pieces[number].id not in "".join(verdict.faults) for number in (0, 2))


async def test_hashes_that_were_made_anew_do_not_fit_the_chain(shelf: Shelf) -> None:
    """Whoever can write to the disk alone changes a file and its hash."""
    path = shelf.path(1)
    (path / "facts.json").write_bytes(b"{}")
    import hashlib

    lines = (path / "SHA256SUMS").read_text().splitlines()
    anew = hashlib.sha256(b"{}").hexdigest()
    sums = "".join(f"{anew if line.endswith('facts.json') else line[:64]}{line[64:]}\n" for line in lines)
    (path / "SHA256SUMS").write_text(sums)
    assert (await shelf.verdict()).faults == (f"{shelf.pieces[1].id}: SHA256SUMS is not what was written",)


@pytest.mark.parametrize(
    "values",
    [{"case_id": "case_other"}, {"channel": "bob"}, {"is_restricted": True}, {"hash": bytes(32)}, {"category": ""}],
)
async def test_a_row_that_was_changed_is_found(shelf: Shelf, values: dict[str, object]) -> None:
    await shelf.change(1, **values)
    assert shelf.pieces[1].id in (await shelf.verdict()).faults[0]


@pytest.mark.parametrize("number", range(PIECES))
async def test_a_row_that_was_removed_is_found(shelf: Shelf, number: int) -> None:
    async with shelf.store.database.writing() as connection:
        await connection.execute(delete(evidence).where(evidence.c.id == shelf.pieces[number].id))
    shutil.rmtree(shelf.path(number))
    assert (await shelf.verdict()).fault_count


async def test_a_chain_that_was_cut_with_its_end_is_found_by_what_was_noted(shelf: Shelf) -> None:
    async with shelf.store.database.writing() as connection:
        await connection.execute(delete(evidence))
        await connection.execute(update(evidence_chain).values(end_sequence=0, end_hash=BEGIN_HASH))
    for number in range(PIECES):
        shutil.rmtree(shelf.path(number))
    assert (await shelf.verdict()).faults == ()
    assert (await shelf.verdict((2, shelf.pieces[1].hash))).fault_count
    wrong = await shelf.house.keep("case_00000000000000000000000009")
    assert (await shelf.verdict((1, shelf.pieces[0].hash))).faults == (
        f"{wrong.id}: the chain up to it is not what was noted",
    )


async def test_very_many_faults_are_counted_and_some_told(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_verify, "FAULTS_MAX", 2)
    for number in range(PIECES):
        shutil.rmtree(shelf.path(number))
    verdict = await shelf.verdict()
    assert (len(verdict.faults), verdict.fault_count) == (2, 3)


async def test_a_time_that_is_none_is_a_fault_and_no_traceback(shelf: Shelf) -> None:
    damage = text("UPDATE evidence SET kept_at = 'noon' WHERE sequence = 2")
    if not shelf.store.database.is_sqlite:
        # PostgreSQL takes no such time, so there is none to be found.
        with pytest.raises(StoreUnavailableError):
            async with shelf.store.database.writing() as connection:
                await connection.execute(damage)
        return
    async with shelf.store.database.writing() as connection:
        await connection.execute(damage)
    assert "cannot be read" in "".join((await shelf.verdict()).faults)
