from __future__ import annotations

import math
import socket
import sys

import pytest

from streamd.doors.ingest.liveness import DEAD_AFTER_S, TcpSigns, quiet_s, read_signs


class TestQuiet:
    def test_without_the_kernel_it_is_the_time_since_media_was_read(self) -> None:
        assert quiet_s(None, 3.0) == 3.0

    def test_media_that_lies_in_the_kernel_was_heard(self) -> None:
        assert quiet_s(TcpSigns(is_established=True, is_unanswered=False, quiet_s=0.02), 0.5) == 0.02

    def test_media_that_was_read_late_was_heard(self) -> None:
        assert quiet_s(TcpSigns(is_established=True, is_unanswered=False, quiet_s=3.0), 0.1) == 0.1

    @pytest.mark.parametrize(
        "signs",
        [
            TcpSigns(is_established=False, is_unanswered=False, quiet_s=DEAD_AFTER_S),
            TcpSigns(is_established=True, is_unanswered=True, quiet_s=DEAD_AFTER_S),
        ],
        ids=["closed by the peer", "acknowledges nothing"],
    )
    def test_a_connection_that_is_seen_to_be_dead_is_silent_for_ever(self, signs: TcpSigns) -> None:
        assert quiet_s(signs, 1.0) == math.inf

    def test_on_a_bad_line_a_lost_packet_of_ours_is_no_death(self) -> None:
        signs = TcpSigns(is_established=True, is_unanswered=True, quiet_s=0.1)
        assert quiet_s(signs, 1.0) == 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO is Linux'")
class TestTheKernel:
    def test_tells_that_data_has_come_and_that_the_peer_has_closed(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            peer = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
            with ours:
                with peer:
                    peer.sendall(b"x")
                    assert ours.recv(1) == b"x"
                    signs = read_signs(ours)
                    assert signs.is_established
                    assert not signs.is_unanswered
                    assert signs.quiet_s < 1.0
                assert ours.recv(1) == b""
                assert not read_signs(ours).is_established

    def test_knows_nothing_of_other_sockets(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(OSError, match=r"."):
            read_signs(ours)
