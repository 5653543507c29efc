"""Stamps of an authority: asked for, checked, kept; its failures cost the stamp alone."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from streamd.errors import ReceiverUnreachableError, StampError
from streamd.services.events.sender import ReceiverAnswer
from streamd.services.moderation.evidence.room import STAMP_INTERVAL_S
from streamd.services.moderation.evidence.timestamping import ANSWER_BYTES_MAX, TimeStamper, check_stamp
from streamd.services.moderation.evidence.verify import verify_evidence
from tests.support.evidence import EvidenceHouse, PaintedArtist
from tests.support.ingest import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore

pytestmark = [pytest.mark.asyncio, pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")]
pytest.importorskip("rfc3161_client")

CONFIG = """
[tsa]
default_tsa = tsa1
[tsa1]
serial = {directory}/serial
crypto_device = builtin
signer_cert = {directory}/cert.pem
signer_key = {directory}/key.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
"""


@dataclass
class Authority:
    """An authority of openssl's, which a test may break."""

    directory: Path
    asked: list[tuple[bytes, Mapping[str, str]]] = field(default_factory=list)
    answer: ReceiverAnswer | None = None
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.directory.mkdir()
        (self.directory / "serial").write_text("01\n")
        (self.directory / "tsa.cnf").write_text(CONFIG.format(directory=self.directory))
        key = ("-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem")
        use = ("-addext", "extendedKeyUsage=critical,timeStamping")
        self.openssl("req", "-x509", "-subj", "/CN=authority", "-days", "2", *key, "-out", "cert.pem", *use)

    def openssl(self, *arguments: str) -> str:
        done = subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def stamp(self, query: bytes) -> bytes:
        (self.directory / "query.tsq").write_bytes(query)
        self.openssl(*["ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query.tsq", "-out", "reply.tsr"])
        return (self.directory / "reply.tsr").read_bytes()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, answer_bytes_max: int = 0
    ) -> ReceiverAnswer:
        assert (url, answer_bytes_max) == ("http://tsa.example", ANSWER_BYTES_MAX + 1)
        self.asked.append((body, headers))
        if self.error is not None:
            raise self.error
        return self.answer or ReceiverAnswer(200, body=await asyncio.to_thread(self.stamp, body))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tsa")


@pytest_asyncio.fixture
async def house(store: KeyStore, tmp_path: Path, authority: Authority) -> AsyncIterator[EvidenceHouse]:
    house = EvidenceHouse(store, tmp_path, PaintedArtist(), stamper=authority)
    await house.room.open()
    yield house
    await house.room.close()


async def looked(house: EvidenceHouse, asked: int, authority: Authority) -> None:
    """Have the room look until so many stamps were asked for and its work is done."""
    for _ in range(4):
        house.room.look()
        task = house.room._housekeeping
        await eventually(lambda task=task: task is None or task.done())  # type: ignore[misc]  # bound now
    assert len(authority.asked) == asked


class TestAStamp:
    async def test_is_asked_for_by_hash_and_holds(self, authority: Authority) -> None:
        stamper = TimeStamper("http://tsa.example", authority)
        answer, at = await stamper.stamp(b"the sums")
        ((query, headers),) = authority.asked
        assert b"the sums" not in query
        assert headers["Content-Type"] == "application/timestamp-query"
        assert check_stamp(answer, b"the sums") == at
        with pytest.raises(StampError, match="other bytes"):
            check_stamp(answer, b"other sums")

    async def test_of_another_request_is_refused(self, authority: Authority) -> None:
        """RFC 3161 section 2.4.2: the nonce."""
        stamper = TimeStamper("http://tsa.example", authority)
        answer, _ = await stamper.stamp(b"the sums")
        authority.answer = ReceiverAnswer(200, body=answer)
        with pytest.raises(StampError, match="another request"):
            await stamper.stamp(b"the sums")

    @pytest.mark.parametrize(
        "answer",
        [
            ReceiverAnswer(503),
            ReceiverAnswer(200, body=b""),
            ReceiverAnswer(200, body=b"<html>"),
            ReceiverAnswer(200, body=b"\x30\x82\xff\xff" + bytes(100)),
            ReceiverAnswer(200, body=bytes(ANSWER_BYTES_MAX + 1)),
            # TimeStampResp with the status "rejection" and no token.
            ReceiverAnswer(200, body=bytes.fromhex("30053003020102")),
        ],
    )
    async def test_that_is_none_is_refused(self, authority: Authority, answer: ReceiverAnswer) -> None:
        authority.answer = answer
        with pytest.raises(StampError):
            await TimeStamper("http://tsa.example", authority).stamp(b"the sums")

    async def test_of_an_authority_that_is_away(self, authority: Authority) -> None:
        authority.error = ReceiverUnreachableError("no answer within 10 s")
        with pytest.raises(StampError, match="no answer"):
            await TimeStamper("http://tsa.example", authority).stamp(b"the sums")


class TestEvidence:
    async def test_is_stamped_behind_its_keeping_and_openssl_agrees(
        self, house: EvidenceHouse, authority: Authority
    ) -> None:
        await house.go_live(4)
        record = await house.keep()
        assert authority.asked == [], "nobody waits for an authority"
        await looked(house, 1, authority)
        path = house.directory / record.id
        assert (await house.store.find(record.id)).stamped_at is not None
        said = authority.openssl(
            *("ts", "-verify", "-data", str(path / "SHA256SUMS"), "-in", str(path / "timestamp.tsr")),
            *("-CAfile", "cert.pem"),
        )
        assert "Verification: OK" in said
        verdict = await verify_evidence(house.store, house.directory)
        assert (verdict.stamped, verdict.faults) == (1, ())

    async def test_is_whole_without_and_is_stamped_when_the_authority_is_back(
        self, house: EvidenceHouse, authority: Authority, caplog: pytest.LogCaptureFixture
    ) -> None:
        authority.error = ReceiverUnreachableError("away")
        await house.go_live(4)
        record = await house.keep()
        await looked(house, 1, authority)
        assert [each.message for each in caplog.records if each.levelname == "WARNING"] == ["evidence.unstamped"]
        assert (await verify_evidence(house.store, house.directory)).faults == ()
        authority.error = None
        house.clock.advance(STAMP_INTERVAL_S)
        await looked(house, 2, authority)
        assert (await house.store.find(record.id)).stamped_at is not None

    async def test_a_stamp_of_something_else_is_found(self, house: EvidenceHouse, authority: Authority) -> None:
        await house.go_live(4)
        record = await house.keep()
        await looked(house, 1, authority)
        other, _ = await TimeStamper("http://tsa.example", authority).stamp(b"other")
        (house.directory / record.id / "timestamp.tsr").write_bytes(other)
        (fault,) = (await verify_evidence(house.store, house.directory)).faults
        assert "other bytes" in fault
