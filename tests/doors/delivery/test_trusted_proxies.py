from __future__ import annotations

import pytest

from streamd.doors.delivery.trusted_proxies import TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"])
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
