from __future__ import annotations

from streamd.services.restream.acknowledged import Acknowledged
from streamd.services.restream.link import LinkSigns


def signs(acked_bytes: int) -> LinkSigns:
    return LinkSigns(acked_bytes, is_waiting=True)


class TestAcknowledged:
    def test_the_words_of_the_beginning_are_no_media(self) -> None:
        count = Acknowledged(0)
        count.begin(signs(3500), 1)
        assert not count.read(signs(3500), 2)
        assert count.read(signs(4000), 3)

    def test_it_holds_for_five_seconds(self) -> None:
        count = Acknowledged(0)
        count.begin(signs(0), 0)
        assert count.read(signs(100), 1)
        assert count.read(signs(100), 6)
        assert not count.read(signs(100), 6.1)

    def test_connections_are_added_up(self) -> None:
        count = Acknowledged(0)
        for _ in range(2):
            count.begin(signs(10), 0)
            count.read(signs(1010), 1)
            assert count.kbps > 0
            count.end()
        assert (count.total_bytes, count.kbps) == (2020, 0)
