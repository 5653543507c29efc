"""Lists of hashes, and what others write into such files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine import hash_lists
from streamd.services.moderation.machine.hash_lists import FAULTS_TOLD_MAX, distance, parse_hash, read_list, read_lists

ONE = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
OTHER = "0" * 63 + "1"


class TestAList:
    def test_has_a_hash_a_line_in_either_case(self) -> None:
        found = read_list("known.txt", [f"{ONE}\n".encode(), f"{OTHER.upper()}\r\n".encode(), b"\n"])
        assert found.count == 2
        assert found.hashes == bytes.fromhex(ONE + OTHER)
        assert (found.faults, found.bad_lines) == ([], 0)

    @pytest.mark.parametrize("behind", [",98", " 98", "\t2024-01-01 ncmec", ", quality 50"])
    def test_takes_what_stands_behind_a_hash_for_a_note(self, behind: str) -> None:
        assert read_list("known.csv", [f"{ONE}{behind}\n".encode()]).count == 1

    def test_may_begin_with_a_byte_order_mark(self) -> None:
        assert read_list("known.txt", [b"\xef\xbb\xbf" + ONE.encode()]).count == 1

    def test_names_categories_for_the_lines_behind(self) -> None:
        lines = [ONE, "# category: PROTECTION_OF_MINORS", ONE, ONE, "#category:VIOLENCE", ONE, "# some words"]
        found = read_list("known.txt", [line.encode() for line in lines])
        assert [found.category_of(number) for number in range(4)] == [
            Category.NOT_SPECIFIED_NOTICE,
            Category.PROTECTION_OF_MINORS,
            Category.PROTECTION_OF_MINORS,
            Category.VIOLENCE,
        ]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (ONE[:-1], "63 hexadecimal digits: an odd number"),
            (ONE + "0", "65 hexadecimal digits: an odd number"),
            (ONE[:-2], "62 hexadecimal digits"),
            (ONE + "00", "66 hexadecimal digits"),
            ("g" * 64, "hexadecimal digits alone"),
            ("<html>", "hexadecimal"),
            ("d41d8cd98f00b204e9800998ecf8427e", "32 hexadecimal digits"),
            ("\udcff", "odd number"),
            ("# category: CATS", "CATS is no category"),
        ],
    )
    def test_goes_on_behind_a_line_that_is_none(self, line: str, reason: str) -> None:
        found = read_list("known.txt", [ONE.encode(), line.encode("utf-8", "surrogateescape"), OTHER.encode()])
        assert found.count == 2
        (fault,) = found.faults
        assert fault.startswith("line 2: ")
        assert reason in fault

    def test_tells_of_some_bad_lines_and_counts_them_all(self) -> None:
        found = read_list("known.txt", [b"nothing"] * 1000)
        assert (found.bad_lines, len(found.faults)) == (1000, FAULTS_TOLD_MAX)

    def test_has_room_for_so_many(self) -> None:
        found = read_list("known.txt", [ONE.encode()] * 5, room=3)
        assert found.count == 3
        assert found.faults == ["line 4: more than 1000000 hashes in all, the rest is left out"]


class TestFiles:
    def test_are_read_one_after_another_within_one_bound(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hash_lists, "HASHES_MAX", 3)
        paths = []
        for name in ("a.txt", "b.txt"):
            paths.append(tmp_path / name)
            paths[-1].write_text(f"{ONE}\n{OTHER}\n")
        first, second = read_lists(paths)
        assert (first.name, first.count, second.name, second.count) == ("a.txt", 2, "b.txt", 1)
        assert second.faults

    def test_that_cannot_be_read_are_told_of_and_the_others_stand(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "large").write_bytes(bytes(100))
        (tmp_path / "good").write_text(ONE)
        monkeypatch.setattr(hash_lists, "LIST_BYTES_MAX", 99)
        names = ("none", "pipe", "large", "good")
        none, pipe, large, good = read_lists([tmp_path / name for name in names])
        assert none.faults == ["No such file or directory"]
        assert pipe.faults == ["it is no file"]
        assert large.faults == ["it has 100 bytes, and 99 is the most"]
        assert good.count == 1

    def test_of_one_line_without_an_end_are_read_in_pieces(self, tmp_path: Path) -> None:
        (tmp_path / "long").write_bytes(b"0" * 3_000_000)
        (found,) = read_lists([tmp_path / "long"])
        assert found.count == 0
        assert found.bad_lines == -(-3_000_000 // hash_lists.READ_BYTES)


def test_one_hash_is_read_or_refused() -> None:
    assert parse_hash(f" {ONE}\n") == bytes.fromhex(ONE)
    for text in ("", "0", ONE[1:], ONE + ONE, "z" * 64):
        with pytest.raises(ValueError, match="hexadecimal"):
            parse_hash(text)


def test_the_distance_is_how_many_bits_differ() -> None:
    assert distance(bytes(32), bytes.fromhex(OTHER)) == 1
    assert distance(bytes(32), b"\xff" * 32) == 256
