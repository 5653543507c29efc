from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamd.errors import ImportRefusedError
from streamd.process.cli.key_file import FILE_BYTES_MAX, read_keys
from streamd.services.keys.foreign_key import ForeignKey

SECRET = "Xk29sQm4Tz81LdRw"


def faults(data: bytes) -> list[str]:
    with pytest.raises(ImportRefusedError) as caught:
        read_keys(data)
    assert SECRET not in "".join(caught.value.faults)
    return caught.value.faults


class TestCsv:
    @pytest.mark.parametrize(
        "text",
        [
            f"alice,{SECRET},studio,2027-01-31\n",
            f"user,secret,label,expires\nalice,{SECRET},studio,2027-01-31\n",
            f"\ufeffuser;expires_at;key;label\r\nalice;2027-01-31T00:00:00Z;{SECRET};studio\r\n",
            f"Label\tUser\tStream_Key\tExpires\nstudio\talice\t{SECRET}\t2027-01-31T02:00+02:00",
        ],
    )
    def test_columns_are_named_or_in_order(self, text: str) -> None:
        (key,) = read_keys(text.encode())
        assert (key.user, key.secret, key.label) == ("alice", SECRET, "studio")
        assert key.expires_at == datetime(2027, 1, 31, tzinfo=UTC)

    def test_a_key_knows_its_line_behind_empty_ones_and_cells_of_several_lines(self) -> None:
        text = f'user,secret,label\n\nalice,{SECRET},"two\nlines"\nbob,{SECRET}\n'
        assert [(key.user, key.line) for key in read_keys(text.encode())] == [("alice", 3), ("bob", 5)]

    @pytest.mark.parametrize(
        "text", ["alice,sha256: 9f86", "user,sha256\nalice,9f86", "user,secret_sha256\nalice,9f86"]
    )
    def test_a_hash_stands_in_place_of_the_secret(self, text: str) -> None:
        assert read_keys(text.encode()) == [ForeignKey("alice", secret_sha256="9f86", line=text.count("\n") + 1)]

    def test_what_stands_in_a_secret_is_kept(self) -> None:
        assert [key.secret for key in read_keys(b'alice,"a,""b"" c"\nbob, d\n')] == ['a,"b" c', " d"]

    def test_what_cannot_be_read_names_its_line(self) -> None:
        assert faults(f"alice,{SECRET},a,2027-13-01\nbob,{SECRET},b,,{SECRET}\n".encode()) == [
            "line 1: write the expiry as 2027-01-31 or 2027-01-31T18:00:00Z",
            "line 2: there are 5 cells, and 4 columns",
        ]
        (fault,) = faults(f'alice,"{SECRET}\n'.encode())
        assert fault.startswith("line 1: this is not CSV")
        (fault,) = faults(f"user,secret,{SECRET}\nalice,{SECRET},x\n".encode())
        assert fault.startswith("line 1: a column is unknown")


class TestJsonLines:
    def test_are_read_each_with_its_line(self) -> None:
        text = (
            f'{{"user": "alice", "secret": "{SECRET}", "label": null}}\n\n{{"user": "bob", "secret_sha256": "9f86"}}\n'
        )
        assert read_keys(text.encode()) == [
            ForeignKey("alice", SECRET, line=1),
            ForeignKey("bob", secret_sha256="9f86", line=3),
        ]

    def test_what_cannot_be_read_names_its_line(self) -> None:
        text = (
            f'{{"user": "alice", "secret": 7}}\n["{SECRET}"]\n{{"user": "{SECRET}\n{{"{SECRET}": ""}}\n' + "[" * 50_000
        )
        assert [fault.partition(";")[0] for fault in faults(text.encode())] == [
            "line 1: secret is not text",
            "line 2: this is not a JSON object",
            "line 3: this is not JSON",
            "line 4: a name is unknown",
            "line 5: this is not JSON",
        ]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "the file has no keys in it"),
        (b"user,secret\n\n", "the file has no keys in it"),
        (b"alice,key\nbob,\xff\n", "line 2: this is not UTF-8"),
        (b" " * (FILE_BYTES_MAX + 1), "the file has more than 64 MiB"),
    ],
)
def test_a_file_without_keys_says_why(data: bytes, fault: str) -> None:
    assert faults(data) == [fault]
