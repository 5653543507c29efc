from __future__ import annotations

import pytest

from streamd.process.cli.output import print_table, say

STEERING = "OBS\x1b[2J\x9b31m\u202e"


@pytest.mark.parametrize("printed", ["table", "remark"])
def test_what_comes_from_outside_does_not_steer_the_terminal(printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    if printed == "table":
        print_table(("encoder",), [(STEERING,)], nothing="")
    else:
        say(STEERING)
    seen = "".join(capsys.readouterr())
    assert r"OBS\x1b[2J\x9b31m\u202e" in seen
    assert not {"\x1b", "\x9b", "\u202e"} & set(seen)
