from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.doors.delivery.trusted_proxies import PROXIES_MAX, TrustedProxies
from tests.support.work import count_calls

NETWORKS = ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8")
PROXIES = TrustedProxies(NETWORKS)
PROXY, VIEWER = "10.0.0.1", "192.0.2.7"

CHAINS = [
    ("nobody in between", VIEWER, "", VIEWER),
    ("a viewer's own invention", VIEWER, "198.51.100.1", VIEWER),
    ("one proxy", PROXY, VIEWER, VIEWER),
    ("a proxy that says nothing", PROXY, "", PROXY),
    ("two proxies", "127.0.0.1", f"{VIEWER}, 10.9.9.9", VIEWER),
    ("an invention that a proxy has appended to", PROXY, f"198.51.100.1, {VIEWER}", VIEWER),
    ("an invention that calls itself a proxy", PROXY, f"10.1.1.1,{VIEWER}", VIEWER),
    ("a proxy that asks for itself", "127.0.0.1", "10.1.1.1, 10.2.2.2", "10.1.1.1"),
    ("one that hides the viewer", "127.0.0.1", "198.51.100.1, unknown, 10.2.2.2", "10.2.2.2"),
    ("nonsense", PROXY, "<script>", PROXY),
    ("an address with its port", PROXY, f"{VIEWER}:51234", VIEWER),
    ("IPv6", "fd00::1", "2001:db8::7", "2001:db8::7"),
    ("IPv6 with its port", PROXY, "[2001:db8::7]:51234", "2001:db8::7"),
    ("IPv4 on a listener for both", "::ffff:10.0.0.1", f"::ffff:{VIEWER}", VIEWER),
    ("a peer without an address", "unknown", VIEWER, "unknown"),
    ("IPv6 in another spelling", PROXY, "2001:0DB8:0:0::7", "2001:db8::7"),
    ("an IPv4 address with a zero before its digits", PROXY, "192.0.2.07", PROXY),
    ("a scope, which is nobody's but ours", PROXY, "fe80::1%eth0", PROXY),
    ("an address that is very long", PROXY, " " * 9 + "0" * 90 + "::7", PROXY),
    ("letters of no address", PROXY, "\udcff\0", PROXY),
    ("nothing behind a comma", PROXY, f"{VIEWER},", PROXY),
    ("as many proxies as there may be", PROXY, f"{VIEWER}," + ",".join(["10.1.1.1"] * (PROXIES_MAX - 1)), VIEWER),
    ("one more", PROXY, f"{VIEWER}," + ",".join(f"10.1.1.{last}" for last in range(PROXIES_MAX)), "10.1.1.0"),
]


@pytest.mark.parametrize(("peer", "said", "client"), [case[1:] for case in CHAINS], ids=[case[0] for case in CHAINS])
def test_the_client_is_the_last_that_is_no_proxy_of_ours(peer: str, said: str, client: str) -> None:
    assert PROXIES.client(peer, said) == client


def test_where_none_is_named_nobody_is_trusted() -> None:
    nobody = TrustedProxies()
    assert not nobody.trusts("127.0.0.1")
    assert nobody.client("127.0.0.1", VIEWER) == "127.0.0.1"
    assert nobody.scheme("127.0.0.1", "https") is None


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        (PROXY, "https", "https"),
        (PROXY, " HTTP ", "http"),
        (PROXY, "", None),
        (PROXY, "javascript", None),
        # Of two words, one may be a viewer's.
        (PROXY, "http,https", None),
        (VIEWER, "https", None),
    ],
)
def test_a_proxy_says_what_the_viewer_speaks(peer: str, said: str, scheme: str | None) -> None:
    assert PROXIES.scheme(peer, said) == scheme


@given(st.ip_addresses(), st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="fd00::/8"))
def test_any_address_is_told_as_the_library_writes_it(viewer: IPv4Address | IPv6Address, proxy: object) -> None:
    told = (viewer.ipv4_mapped if isinstance(viewer, IPv6Address) else None) or viewer
    assert PROXIES.trusts(str(proxy))
    assert PROXIES.client(PROXY, f"{viewer}, {proxy}") == str(told)
    assert PROXIES.trusts(str(viewer)) == any(told in ip_network(each) for each in NETWORKS)


def test_what_a_field_costs_does_not_grow_with_it() -> None:
    ways = [",".join(["fd00::1"] * number) for number in (PROXIES_MAX, 2000)]
    few, many = (count_calls(lambda said=said: PROXIES.client(PROXY, said)) for said in ways)  # type: ignore[misc]
    assert few == many
