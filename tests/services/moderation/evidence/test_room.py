"""Evidence of real broadcasts: what is on the disk, in the index, and in the log."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import av
import pytest
import pytest_asyncio

from streamd.errors import EvidenceGoneError, PictureError
from streamd.process.workers.commands import PICTURE_COMMAND
from streamd.services.audit.audit_log import AuditLog
from streamd.services.audit.records import Actor, AuditFilter
from streamd.services.moderation.act_details import ActDetails, words_of
from streamd.services.moderation.evidence import maker as evidence_maker
from streamd.services.moderation.evidence import room as evidence
from streamd.services.moderation.evidence import shares
from streamd.services.moderation.evidence.folder import check_folder
from streamd.services.moderation.evidence.room import EVERY_S, PER_CASE_MAX, WAITING_MAX
from streamd.services.moderation.evidence.shares import DAY_S
from streamd.services.moderation.evidence.shelf import EvidenceOptions
from streamd.services.moderation.evidence.verify import verify_evidence
from streamd.services.posters.picture_process import PictureProcess
from streamd.services.recording.records import RecordingMode
from tests.support.evidence import CASE, OTHER_CASE, EvidenceHouse, PaintedArtist, Target
from tests.support.ingest import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.audit.records import AuditRecord
    from streamd.services.keys.key_store import KeyStore
    from streamd.services.moderation.evidence.chain import EvidenceRecord

pytestmark = pytest.mark.asyncio

MODERATOR = Actor("mo", "192.0.2.9")


@pytest.fixture
def artist() -> PaintedArtist:
    return PaintedArtist()


@pytest_asyncio.fixture
async def house(store: KeyStore, tmp_path: Path, artist: PaintedArtist) -> AsyncIterator[EvidenceHouse]:
    """Nothing is recorded."""
    async for each in opened(EvidenceHouse(store, tmp_path, artist)):
        yield each


async def opened(house: EvidenceHouse) -> AsyncIterator[EvidenceHouse]:
    await house.recorder.open()
    await house.room.open()
    yield house
    await house.room.close()
    await house.recorder.close()


def facts_of(house: EvidenceHouse, record: EvidenceRecord) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((house.directory / record.id / "facts.json").read_bytes())
    return found


def decoded_seconds(data: bytes) -> float:
    """Decode every picture of a file, as a player does."""
    with av.open(io.BytesIO(data), "r") as container:
        return len([*container.decode(video=0)]) / 30


async def log_of(store: KeyStore, action: str) -> list[AuditRecord]:
    return list((await AuditLog(store.database).page(after=0, limit=100, found=AuditFilter(action=action))).items)


class TestAPiece:
    async def test_is_verified_by_sha256sum_and_plays(self, house: EvidenceHouse, store: KeyStore) -> None:
        await house.go_live(6)
        record = await house.keep()
        path = house.directory / record.id
        tool = shutil.which("sha256sum")
        assert tool is not None
        done = await asyncio.to_thread(
            subprocess.run, [tool, "-c", "SHA256SUMS"], cwd=path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "facts.json: OK" in done.stdout
        assert "keyframe.jpg: OK" in done.stdout
        assert decoded_seconds((path / "main-0.mp4").read_bytes()) >= 4
        assert {entry.stat().st_mode & 0o077 for entry in (*path.iterdir(), path)} == {0}
        # Whoever looks at the case already sees it come.
        assert house.news == ["kept"]
        (kept,) = await log_of(store, "evidence.kept")
        assert ActDetails.parse(kept.entry.reason).category == "VIOLENCE"
        assert words_of(kept.entry.reason) == record.id
        assert house.counts == ["kept"]

    async def test_tells_what_was_known(self, house: EvidenceHouse) -> None:
        await house.go_live(6)
        record = await house.keep()
        facts = facts_of(house, record)
        assert facts["live"]["publisher_address"] == "192.0.2.7"
        assert facts["live"]["key_id"] == "good"
        assert facts["live"]["viewers"] == {"hls": 0, "flv": 0, "mp4": 0} or facts["live"]["viewers"] is not None
        assert facts["media"][0]["sources"] == ["window"]
        assert facts["media"][0]["began_at"].startswith("2026-03-01T12:00:")
        assert facts["target"] == {"kind": "channel", "id": "alice"}
        assert "sk_" not in json.dumps(facts)

    async def test_its_picture_is_drawn_by_the_picture_worker(self, store: KeyStore, tmp_path: Path) -> None:
        environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
        house = EvidenceHouse(store, tmp_path, artist=None)  # type: ignore[arg-type]  # it comes with its clock
        house._artist = PictureProcess(PICTURE_COMMAND, environment, house.clock)
        house.room = house.new_room()
        evidence_maker_s = evidence_maker.PICTURE_S
        evidence_maker.PICTURE_S = 60.0
        try:
            async for each in opened(house):
                await each.go_live(4)
                record = await each.keep()
                for name in ("keyframe.jpg", "blurred.jpg"):
                    jpeg = (each.directory / record.id / name).read_bytes()
                    with av.open(io.BytesIO(jpeg), "r", format="jpeg_pipe") as container:
                        frame = next(container.decode(video=0))
                    assert (frame.width, frame.height) == ((160, 96) if name == "keyframe.jpg" else (32, 18))
                assert await each.room.picture(CASE) == (each.directory / record.id / "keyframe.jpg").read_bytes()
        finally:
            evidence_maker.PICTURE_S = evidence_maker_s

    async def test_holds_what_was_there_when_it_was_asked_for(
        self, house: EvidenceHouse, artist: PaintedArtist
    ) -> None:
        """A takedown or the end of the stream a moment later takes none of it away."""
        await house.go_live(6)
        evidence_id = house.room.begin(CASE, Target())
        house.end()
        house.clock.advance(3600)
        assert house.ingest.registry.find("alice") is None
        await house.room.wait(CASE)
        assert (await house.store.find(evidence_id)).media_ms >= 4000

    @pytest.mark.parametrize("error", [PictureError("a bomb"), None])
    async def test_a_picture_that_cannot_be_drawn_is_left_out(
        self, house: EvidenceHouse, artist: PaintedArtist, error: PictureError | None
    ) -> None:
        artist.error, artist.jpeg = error, None
        await house.go_live(4)
        record = await house.keep()
        assert not record.has_picture
        assert record.media_ms
        assert facts_of(house, record)["picture_missing"] == ("a bomb" if error else "nothing decodes")
        assert await house.room.picture(CASE) is None

    async def test_a_picture_that_takes_long_is_left_out(
        self, house: EvidenceHouse, artist: PaintedArtist, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(evidence_maker, "PICTURE_S", 0.0)
        artist.may_draw.clear()
        await house.go_live(4)
        record = await house.keep()
        assert not record.has_picture
        assert record.media_ms

    async def test_of_a_channel_that_is_not_there_has_the_facts_alone(self, house: EvidenceHouse) -> None:
        record = await house.keep(target=Target(id="nobody", channel="nobody"))
        assert (record.media_ms, record.has_picture) == (0, False)
        assert facts_of(house, record)["live"] is None

    async def test_without_media_by_configuration_has_a_picture(self, house: EvidenceHouse) -> None:
        house.room.shelf.options = EvidenceOptions(last_s=0)
        await house.go_live(6)
        record = await house.keep()
        assert (record.media_ms, record.has_picture) == (0, True)

    async def test_has_the_time_before_what_was_seen(self, house: EvidenceHouse) -> None:
        house.room.shelf.options = EvidenceOptions(last_s=2)
        peer = await house.go_live(6)
        await house.send(peer, 6, from_ms=6000)
        seen = await house.keep(at_s=house.clock.now().timestamp() + 3)
        facts = facts_of(house, seen)
        began, ended = facts["media"][0]["began_at"], facts["media"][0]["ended_at"]
        assert "12:00:00" <= began[11:19] <= "12:00:02"
        assert "12:00:08" <= ended[11:19] <= "12:00:10"

    async def test_a_time_that_was_never_is_now(self, house: EvidenceHouse) -> None:
        await house.go_live(6)
        for number, at_s in enumerate((0.0, 1e11)):
            record = await house.keep(case_id=f"{CASE[:-1]}{number}", at_s=at_s)
            assert record.media_ms >= 4000, at_s


class TestRecordings:
    @pytest_asyncio.fixture
    async def recorded(self, store: KeyStore, tmp_path: Path, artist: PaintedArtist) -> AsyncIterator[EvidenceHouse]:
        async for each in opened(EvidenceHouse(store, tmp_path, artist, RecordingMode.ALL)):
            yield each

    @staticmethod
    async def written(house: EvidenceHouse) -> str:
        for recording in tuple(house.recorder.going):
            await recording.wait()
        await eventually(lambda: not house.recorder.books.is_behind)
        return house.recorder.recording_of("alice")

    async def test_what_has_left_the_window_comes_from_the_recording(self, recorded: EvidenceHouse) -> None:
        recorded.room.shelf.options = EvidenceOptions(last_s=300)
        peer = await recorded.go_live(6)
        for turn in range(1, 15):
            await recorded.send(peer, 6, from_ms=6000 * turn)
        await self.written(recorded)
        record = await recorded.keep()
        facts = facts_of(recorded, record)
        assert {source for media in facts["media"] for source in media["sources"]} == {"recording", "window"}
        assert record.media_ms >= 85_000
        data = b"".join((recorded.directory / record.id / media["file"]).read_bytes() for media in facts["media"])
        assert len(facts["media"]) == 1, "both have the same CMAF header"
        assert decoded_seconds(data) >= 85
        assert facts["recording"]["user"] == "alice"

    async def test_of_a_recording_survives_its_deletion(self, recorded: EvidenceHouse, store: KeyStore) -> None:
        peer = await recorded.go_live(6)
        await recorded.send(peer, 6, from_ms=6000)
        recording_id = await self.written(recorded)
        recorded.end()
        await self.written(recorded)
        recorded.clock.advance(3600)
        record = await recorded.keep(target=Target("recording", recording_id), at_s=5.0)
        assert record.media_ms >= 8000
        found = await recorded.recorder.index.find(recording_id)
        assert found is not None
        await recorded.recorder.retention.delete(found, MODERATOR, "illegal")
        assert not recorded.recorder.folder(found).hls.exists()
        assert check_folder(recorded.directory / record.id, record.sums) == []
        verdict = await verify_evidence(recorded.store, recorded.directory)
        assert (verdict.pieces, verdict.faults) == (1, ())

    async def test_of_a_broadcast_that_ended_an_hour_ago_comes_from_its_recording(
        self, recorded: EvidenceHouse
    ) -> None:
        peer = await recorded.go_live(6)
        await recorded.send(peer, 6, from_ms=6000)
        await self.written(recorded)
        recorded.end()
        await self.written(recorded)
        recorded.clock.advance(3600)
        assert recorded.ingest.registry.find("alice") is None
        record = await recorded.keep()
        assert record.media_ms >= 8000
        assert record.has_picture


class TestACrowd:
    async def test_a_case_gets_a_piece_a_minute_and_no_more_than_so_many(self, house: EvidenceHouse) -> None:
        await house.go_live(4)
        for number in range(PER_CASE_MAX):
            await house.keep()
            assert not house.room.begin(CASE, Target()), number
            house.clock.advance(EVERY_S)
        assert not house.room.begin(CASE, Target())
        assert house.room.begin(OTHER_CASE, Target())

    async def test_what_an_earlier_server_has_kept_counts(self, house: EvidenceHouse) -> None:
        await house.go_live(4)
        for _ in range(PER_CASE_MAX):
            await house.keep()
            house.clock.advance(EVERY_S)
        room = house.new_room()
        await room.open()
        room.begin(CASE, Target())
        await room.wait(CASE)
        await room.close()
        assert await house.store.count_of(CASE) == PER_CASE_MAX

    async def test_memory_is_bounded(self, house: EvidenceHouse, monkeypatch: pytest.MonkeyPatch) -> None:
        """10,000 reports at once hold the media of a few, and no more wait than may."""
        peer = await house.go_live(6)
        held_max = 100_000
        monkeypatch.setattr(evidence, "HELD_BYTES_MAX", held_max)
        kept = [house.room.begin(f"case_{number:026d}", Target()) for number in range(10_000)]
        assert house.room.held_bytes <= held_max
        assert sum(map(bool, kept)) == WAITING_MAX
        assert house.counts.count("refused") == 10_000 - WAITING_MAX
        await house.send(peer, 6, from_ms=6000)
        assert len(house.room._cases) <= WAITING_MAX

    async def test_a_full_shelf_takes_pictures_and_facts(self, house: EvidenceHouse) -> None:
        house.room.shelf.options = EvidenceOptions(bytes_max=10_000)
        await house.go_live(6)
        record = await house.keep()
        assert (record.media_ms, record.has_picture) == (0, True)
        assert "no room" in facts_of(house, record)["media_left_out"]
        assert house.room.shelf.total_bytes < 10_000

    async def test_one_reporter_has_a_share_of_the_room_and_a_day(
        self, house: EvidenceHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Beyond it a picture and the facts are kept for them, and media for others."""
        peer = await house.go_live(4)
        media: list[bool] = []
        for reporter in ("first", "first", "second", "", "first"):
            case_id = f"case_{len(media):026d}"
            if len(media) == 4:
                house.clock.advance(DAY_S)
                await house.send(peer, 4, from_ms=4000)
            evidence_id = house.room.begin(case_id, Target(), None, reporter)
            await house.room.wait(case_id)
            record = await house.store.find(evidence_id)
            assert record.has_picture
            media.append(record.media_ms > 0)
            if len(media) == 1:
                # One piece is a share.
                monkeypatch.setattr(shares, "SHARE", EvidenceOptions().bytes_max // record.size_bytes)
            if not media[-1]:
                assert "reporter" in facts_of(house, record)["media_left_out"]
        assert media == [True, False, True, True, True]

    async def test_a_shelf_that_is_fuller_than_that_refuses(self, house: EvidenceHouse) -> None:
        house.room.shelf.total_bytes = 1 << 50
        await house.go_live(4)
        evidence_id = house.room.begin(CASE, Target())
        await house.room.wait(CASE)
        assert house.counts == ["failed"]
        assert not (house.directory / evidence_id).exists()
        assert not [entry.name for entry in house.directory.iterdir()]

    async def test_one_piece_has_a_bound(self, house: EvidenceHouse, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(evidence_maker, "PIECE_BYTES_MAX", 40_000)
        await house.go_live(6)
        record = await house.keep()
        assert 0 < record.media_ms < 6000
        assert "oldest" in facts_of(house, record)["media_left_out"]


class TestHousekeeping:
    async def test_what_was_kept_for_long_enough_goes_and_its_link_stays(
        self, house: EvidenceHouse, store: KeyStore
    ) -> None:
        await house.go_live(4)
        first, second = await house.keep(), await house.keep(OTHER_CASE)
        house.cases.open.add(OTHER_CASE)
        house.clock.advance(timedelta(days=183, hours=1).total_seconds())
        await house.room.shelf.retain()
        gone, stays = await house.store.find(first.id), await house.store.find(second.id)
        assert gone.deleted_at == house.clock.now()
        assert not (house.directory / first.id).exists()
        assert stays.deleted_at is None
        with pytest.raises(EvidenceGoneError):
            await house.room.shelf.facts(gone)
        assert (await verify_evidence(house.store, house.directory)).faults == ()
        (deleted,) = await log_of(store, "evidence.deleted")
        assert deleted.entry.subject == CASE
        house.cases.open.clear()
        await house.room.shelf.retain()
        assert not list(house.directory.iterdir())
        assert house.room.shelf.total_bytes == 0

    async def test_what_the_index_did_not_take_is_added_later(self, house: EvidenceHouse) -> None:
        await house.go_live(4)
        record = await house.keep()
        # As of a server that was killed between the two.
        (house.directory / record.id / "chain.json").unlink()
        half = house.directory / f"{record.id[:-1]}0.new"
        half.mkdir()
        room = house.new_room()
        await room.open()
        assert (house.directory / record.id / "chain.json").exists()
        assert not half.exists()
        assert await house.store.count_of(CASE) == 1
        assert room.shelf.total_bytes > record.size_bytes
        await room.close()

    async def test_who_reads_is_in_the_log_before_they_do(self, house: EvidenceHouse, store: KeyStore) -> None:
        await house.go_live(4)
        record = await house.keep()
        await house.room.shelf.note_read(record, "keyframe.jpg", MODERATOR, "to decide")
        (read,) = await log_of(store, "evidence.read")
        assert (read.entry.actor, read.entry.address) == ("mo", "192.0.2.9")
        assert words_of(read.entry.reason) == f"{record.id}/keyframe.jpg: to decide"

    @pytest.mark.parametrize("name", ["../../streamd.db", "/etc/passwd", "", ".", "main-9.mp4", "facts.json\0"])
    async def test_nothing_else_on_the_disk_is_shown(self, house: EvidenceHouse, name: str) -> None:
        await house.go_live(4)
        record = await house.keep()
        with pytest.raises(EvidenceGoneError):
            await house.room.shelf.file(record, name)
        assert await house.room.shelf.file(record, "main-0.mp4")

    async def test_looks_when_it_is_time_to(self, house: EvidenceHouse) -> None:
        await house.go_live(4)
        await house.keep()
        house.clock.advance(timedelta(days=200).total_seconds())
        house.room.look()
        await eventually(lambda: not list(house.directory.iterdir()))
        house.room.look()

    async def test_stops_while_it_keeps(self, house: EvidenceHouse, artist: PaintedArtist) -> None:
        artist.may_draw.clear()
        await house.go_live(4)
        house.room.begin(CASE, Target())
        await eventually(lambda: artist.drawn)
        await house.room.close()
        assert artist.is_closed
        await asyncio.sleep(0)
        assert not [entry for entry in house.directory.iterdir() if not entry.name.endswith(".new")]
