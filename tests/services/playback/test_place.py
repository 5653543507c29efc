"""Where something may be shown: countries, networks, and the pages that embed it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from streamd.errors import PlaybackRefusedError
from streamd.services.playback.claims import Claims
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.place import Places
from streamd.services.playback.visitor import Visitor

HOME = "192.0.2.7"


def why(places: Places, visitor: Visitor, claims: Claims | None = None) -> str:
    """The word of the refusal; empty where nothing forbids it."""
    try:
        places.check(claims, visitor)
    except PlaybackRefusedError as exc:
        return exc.reason
    return ""


class TestReferrers:
    @pytest.mark.parametrize(
        ("referrer", "is_let_in"),
        [
            ("", True), ("https://example.org/page?x", True), ("https://a.example.net", True),
            ("https://example.org.evil.example/", False), ("null", False), ("https://[", False),
            ("https://example.org@evil.example/", False), ("javascript:example.org", False),
        ],
    )  # fmt: skip
    def test_the_embedding_site(self, referrer: str, is_let_in: bool) -> None:
        options, visitor = GateOptions(referrers=("example.org", "*.example.net")), Visitor(HOME, referrer=referrer)
        assert why(Places(options, Countries(None)), visitor) == ("" if is_let_in else "referrer")

    def test_of_the_token_beside_the_operators(self) -> None:
        places = Places(GateOptions(referrers=("*.example.org",)), Countries(None))
        claims = Claims("demo", 1.0, referrers=("a.example.org",))
        assert why(places, Visitor(HOME, "https://a.example.org"), claims) == ""
        for other in ("https://b.example.org", "https://evil.example"):
            assert why(places, Visitor(HOME, other), claims) == "referrer"


@pytest.fixture
def countries(tmp_path: Path) -> Countries:
    """Addresses in Germany and in Austria."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-Country", languages=["en"])
    writer.insert_network(IPSet(["192.0.2.0/24"]), {"country": {"iso_code": "DE"}})
    writer.insert_network(IPSet(["198.51.100.0/24", "2001:db8::/32"]), {"registered_country": {"iso_code": "AT"}})
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"country": "broken"})
    path = tmp_path / "countries.mmdb"
    writer.to_db_file(str(path))
    found = Countries(path)
    found.open()
    return found


class TestCountries:
    def test_of_addresses(self, countries: Countries) -> None:
        assert [countries.of(text) for text in ("192.0.2.1", "198.51.100.1", "2001:db8::1")] == ["DE", "AT", "AT"]
        assert [countries.of(text) for text in ("203.0.113.1", "8.8.8.8", "unknown", "")] == [""] * 4
        countries.close()
        assert countries.of("192.0.2.1") == ""

    @pytest.mark.parametrize("data", [None, b"", b"no database" * 100])
    def test_a_file_that_is_none(self, tmp_path: Path, data: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "countries.mmdb"
        if data is not None:
            path.write_bytes(data)
        found = Countries(path)
        found.open()
        assert found.of("192.0.2.1") == ""
        assert [record.msg for record in caplog.records] == ["countries.unknown"]

    def test_where_a_token_is_good(self, countries: Countries) -> None:
        places = Places(GateOptions(), countries)
        assert why(places, Visitor(HOME), Claims("demo", 1.0, countries=frozenset({"DE"}))) == ""
        elsewhere = Claims("demo", 1.0, countries=frozenset({"AT"}))
        assert why(places, Visitor(HOME), elsewhere) == "country"
        assert why(places, Visitor("8.8.8.8"), elsewhere) == ""
        assert why(Places(GateOptions(unknown_country="deny"), countries), Visitor("8.8.8.8"), elsewhere) == "country"

    def test_by_an_order(self, countries: Countries) -> None:
        options = GateOptions(blocked_countries=frozenset({"DE"}), blocked_by="https://court.example")
        places = Places(options, countries)
        with pytest.raises(PlaybackRefusedError) as refused:
            places.check(None, Visitor(HOME))
        assert (refused.value.status, refused.value.link) == (451, '<https://court.example>; rel="blocked-by"')
        assert why(places, Visitor("198.51.100.1")) == ""
        assert why(places, Visitor("8.8.8.8")) == ""
        places.options = replace(options, unknown_country="deny")
        assert why(places, Visitor("8.8.8.8")) == "blocked"


class TestNetworks:
    def test_an_address_in_one_of_them(self) -> None:
        claims = Claims("demo", 1.0, networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
        places = Places(GateOptions(), Countries(None))
        for address in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"):
            assert why(places, Visitor(address), claims) == ""
        for address in ("192.0.3.7", "2001:db9::1", "unknown", ""):
            assert why(places, Visitor(address), claims) == "network"
