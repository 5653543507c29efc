"""The menu of reasons: whole in every language, and the reader's own is found."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

import pytest

from streamd.services.moderation.cases.report_menu import TEXTS, ReportMenu
from streamd.services.moderation.categories import Category, is_restricted

MENU = ReportMenu()


class TestLanguages:
    def test_english_is_first(self) -> None:
        assert MENU.languages == ["en", "id"]

    @pytest.mark.parametrize(
        ("wanted", "accepted", "language"),
        [
            ("", "", "en"),
            ("id", "en", "id"),
            ("ID", "", "id"),
            ("id-ID", "en", "id"),
            ("fr", "", "en"),
            ("", "id-ID,id;q=0.9,en-US;q=0.8", "id"),
            ("", "fr, id;q=0.3, en;q=0.7", "en"),
            ("", "id;q=0, en;q=0.1", "en"),
            ("", "id;q=nan", "en"),
            ("", "*", "en"),
            ("", ";;;,,,q=,id;q=x", "en"),
            ("../../etc/passwd", "id", "id"),
            ("menu", "", "en"),
            ("", ",".join(["xx"] * 5000) + ",id", "en"),
        ],
    )
    def test_the_readers_language(self, wanted: str, accepted: str, language: str) -> None:
        assert MENU.words_for(wanted, accepted).language == language

    def test_each_has_the_same_texts_with_the_same_fields_in_them(self) -> None:
        english = MENU.words["en"]
        for words in MENU.words.values():
            for ours, theirs in ((english.page, words.page), (english.errors, words.errors)):
                assert ours.keys() == theirs.keys()
                for name, text in ours.items():
                    fields = [
                        {field for _, field, _, _ in string.Formatter().parse(each) if field}
                        for each in (text, theirs[name])
                    ]
                    assert fields[0] == fields[1], name
            assert all(text.strip() for text in (*words.options.values(), *words.page.values()))

    def test_a_language_that_lacks_an_option_is_found_out(self, tmp_path: Path) -> None:
        for name in ("menu", "en"):
            (tmp_path / f"{name}.json").write_bytes((TEXTS / f"{name}.json").read_bytes())
        texts = json.loads((TEXTS / "id.json").read_text("utf-8"))
        del texts["options"]["scam"]
        (tmp_path / "id.json").write_text(json.dumps(texts))
        with pytest.raises(ValueError, match="scam"):
            ReportMenu(tmp_path)


class TestTree:
    def test_every_option_leads_to_a_reason_and_is_led_to(self) -> None:
        words, seen, left = MENU.words["en"], {""}, [""]
        while left:
            step = MENU.step(left.pop(), words)
            assert step is not None
            assert bool(step.choices) is (step.reason is None)
            left += [choice.id for choice in step.choices]
            seen |= {choice.id for choice in step.choices}
        assert seen == set(words.options)
        assert all(re.fullmatch(r"[a-z-]{0,40}", option) for option in seen)

    def test_every_category_can_be_chosen(self) -> None:
        leaves = [reason for _, group in MENU.groups(MENU.words["en"]) for _, reason in group]
        assert {reason.category for reason in leaves} == set(Category)

    def test_child_sexual_abuse_is_the_first_and_needs_no_words(self) -> None:
        _, group = MENU.groups(MENU.words["en"])[0]
        choice, reason = group[0]
        assert is_restricted(reason.keyword)
        assert reason.explanation == "optional"
        assert MENU.reason(choice.id) == reason

    @pytest.mark.parametrize("option", ["nothing", "children\n", "Children", "x" * 1000])
    def test_an_option_that_is_not_there_is_none(self, option: str) -> None:
        assert MENU.step(option, MENU.words["en"]) is None
        assert MENU.reason(option) is None

    def test_the_beginning_is_no_reason(self) -> None:
        assert MENU.reason("") is None
