from __future__ import annotations

from streamd.formats.flv.tag import TagType
from streamd.media.intake.actions import Drop, TagDropReason
from streamd.media.intake.drop_book import REFUSALS_MAX, DropBook
from tests.support.gate_media import OTHER_SOUND, SOUND


def test_drops_are_counted_by_reason() -> None:
    book = DropBook()
    assert book.drop(TagDropReason.EMPTY, "mp4a") == Drop(TagDropReason.EMPTY, "mp4a")
    book.drop(TagDropReason.EMPTY)
    book.drop(TagDropReason.SCRIPT)
    assert book.counts == {TagDropReason.EMPTY: 2, TagDropReason.SCRIPT: 1}
    assert book.refusals == {}


def test_a_refusal_is_a_drop_that_is_kept_in_mind_until_the_track_is_carried() -> None:
    book = DropBook()
    drop = book.refuse(SOUND, TagDropReason.UNSUPPORTED_CODEC, "speex", "some_limit")
    assert (drop.detail, drop.limit) == ("speex", "some_limit")
    assert book.counts == {TagDropReason.UNSUPPORTED_CODEC: 1}
    assert book.refusals == {SOUND: drop}
    book.carry(OTHER_SOUND)
    assert book.refusals == {SOUND: drop}
    book.carry(SOUND)
    assert book.refusals == {}


def test_refusals_are_remembered_of_some_tracks_and_the_last_of_each() -> None:
    book = DropBook()
    for number in range(REFUSALS_MAX + 10):
        book.refuse((TagType.AUDIO, number), TagDropReason.EXTRA_TRACK, "first")
    last = book.refuse((TagType.AUDIO, 0), TagDropReason.EXTRA_TRACK, "second")
    assert len(book.refusals) == REFUSALS_MAX
    assert book.refusals[TagType.AUDIO, 0] is last
