from __future__ import annotations

import pytest

from streamd.errors import DirectiveError
from streamd.formats.hls.directives import Directives, parse_directives


@pytest.mark.parametrize(
    ("query", "directives"),
    [
        ("", Directives()),
        ("token=abc", Directives()),
        ("_HLS_msn=0", Directives(msn=0)),
        ("_HLS_msn=12&_HLS_part=3", Directives(msn=12, part=3)),
        ("_HLS_part=3&x=y&_HLS_msn=12", Directives(msn=12, part=3)),
        ("_HLS_part=3", Directives(part=3)),  # whether it may stand alone is the reload decision's
        ("_HLS_skip=YES", Directives(skip=True)),
        ("_HLS_skip=v2", Directives(skip=True)),
        ("_HLS_msn=18446744073709551615", Directives(msn=2**64 - 1)),
        ("_HLS_push=1&_HLS_report=x", Directives()),  # unknown directives are ignored
        ("&&=&_HLS_msn=5&", Directives(msn=5)),
        ("_HLS_%6dsn=5", Directives()),
    ],
)
def test_directives_are_read(query: str, directives: Directives) -> None:
    assert parse_directives(query) == directives


@pytest.mark.parametrize(
    "query",
    [
        "_HLS_msn=",
        "_HLS_msn",
        "_HLS_msn=-1",
        "_HLS_msn=+1",
        "_HLS_msn=1.0",
        "_HLS_msn=0x10",
        "_HLS_msn=1e3",
        "_HLS_msn= 1",
        "_HLS_msn=%31",
        "_HLS_msn=٣",  # a digit, but not one of ours
        "_HLS_msn=1_000",
        "_HLS_msn=18446744073709551616",
        "_HLS_msn=" + "9" * 5000,
        "_HLS_msn=1&_HLS_msn=1",
        "_HLS_msn=1&_HLS_part=",
        "_HLS_msn=1&_HLS_part=-1",
        "_HLS_msn=1&_HLS_part=0&_HLS_part=1",
        "_HLS_skip=yes",
        "_HLS_skip=",
        "_HLS_skip=YES&_HLS_skip=YES",
        "_HLS_skip=v3",
    ],
)
def test_what_no_client_sends_is_refused(query: str) -> None:
    with pytest.raises(DirectiveError):
        parse_directives(query)
