"""Who may not publish though their key is good, and what a look at that costs."""

from __future__ import annotations

import ipaddress

import pytest

from streamd.services.keys.admission import Admission, Denial
from streamd.services.keys.bars import Bars, Held, Networks


class TestHeld:
    def test_a_thing_falls_with_the_last_act_that_holds_it(self) -> None:
        held = Held()
        held.add("anna", "1")
        held.add("anna", "1")
        held.add("anna", "2")
        held.remove("anna", "1")
        assert "anna" in held
        assert held.holders("anna") == {"2"}
        held.remove("anna", "2")
        held.remove("anna", "2")
        held.remove("bert", "2")
        assert "anna" not in held
        assert len(held) == 0


class TestNetworks:
    def test_one_look_up_for_each_length_that_occurs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        networks = Networks()
        for number in range(1000):
            networks.add(ipaddress.ip_network((0x0A000000 + number * 256, 24)), "1")
        networks.add(ipaddress.ip_network("2001:db8::/32"), "1")
        looks = 0
        contains = Held.__contains__

        def counted(held: Held, name: object) -> bool:
            nonlocal looks
            looks += 1
            return contains(held, name)

        monkeypatch.setattr(Held, "__contains__", counted)
        assert networks.holds("10.0.3.7")
        assert not networks.holds("192.0.2.1")
        assert networks.holds("2001:db8::1")
        assert looks == 3

    def test_a_network_that_two_acts_hold(self) -> None:
        networks = Networks()
        network = ipaddress.ip_network("192.0.2.0/24")
        networks.add(network, "1")
        networks.add(network, "2")
        networks.remove(network, "1")
        assert networks.holds("192.0.2.1")
        networks.remove(network, "2")
        networks.remove(network, "2")
        assert not networks.holds("192.0.2.1")
        assert len(networks) == 0

    @pytest.mark.parametrize("address", ["", "unknown", "192.0.2.1:80", "fe80::1%eth0"])
    def test_what_is_no_address_is_in_none(self, address: str) -> None:
        networks = Networks()
        networks.add(ipaddress.ip_network("192.0.2.0/24"), "1")
        assert not networks.holds(address)


class TestBars:
    def test_where_nothing_is_barred_no_address_is_read(self) -> None:
        bars = Bars()

        def of(_: str) -> str:
            raise AssertionError

        bars.know_countries(of)
        assert bars.denial("anna", "k", "192.0.2.1") is None

    def test_a_stream_whose_address_is_not_known_is_barred_by_its_name_alone(self) -> None:
        bars = Bars()
        bars.networks.add(ipaddress.ip_network("0.0.0.0/0"), "1")
        admission = Admission("k", "anna")
        assert not bars.bars(admission)
        admission.address = "192.0.2.1"
        assert bars.bars(admission)
        bars.channels.add("anna", "2")
        assert bars.denial("anna", "k", "") is Denial.TAKEN_DOWN

    def test_a_country(self) -> None:
        bars = Bars()
        bars.know_countries({"192.0.2.1": "DE"}.__getitem__)
        bars.countries.add("DE", "1")
        assert bars.denial("anna", "k", "192.0.2.1") is Denial.BLOCKED
        bars.countries.remove("DE", "1")
        assert bars.denial("anna", "k", "192.0.2.1") is None
