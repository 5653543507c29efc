from __future__ import annotations

import pytest

from streamd.formats.codecs.picture_format import NO_ASPECT, SampleAspect, showable_aspect, shown_width


class TestShownWidth:
    @pytest.mark.parametrize(
        ("width", "aspect", "shown"),
        [
            (1280, NO_ASPECT, 1280),
            (1280, SampleAspect(1, 1), 1280),
            (1440, SampleAspect(4, 3), 1920),
            (720, SampleAspect(64, 45), 1024),
            (720, SampleAspect(16, 11), 1047),
            (720, SampleAspect(8, 9), 640),
            (3, SampleAspect(1, 2), 2),
            (1, SampleAspect(1, 3), 0),
        ],
    )
    def test_is_rounded_to_the_nearest(self, width: int, aspect: SampleAspect, shown: int) -> None:
        assert shown_width(width, aspect) == shown


class TestShowableAspect:
    @pytest.mark.parametrize(
        "aspect",
        [
            SampleAspect(1, 1),
            SampleAspect(4, 3),
            SampleAspect(32_767, 720),
            SampleAspect(1, 720),
            SampleAspect(576, 32_767),
        ],
    )
    def test_of_what_can_be_shown(self, aspect: SampleAspect) -> None:
        size = (720, 16) if aspect == SampleAspect(1, 720) else (720, 576)
        assert showable_aspect(aspect, *size) == aspect

    @pytest.mark.parametrize(
        "aspect",
        [
            SampleAspect(0, 0),
            SampleAspect(0, 3),
            SampleAspect(4, 0),
            SampleAspect(32_768, 720),
            SampleAspect(65_535, 1),
            SampleAspect(1, 721),
            SampleAspect(576, 32_768),
            SampleAspect(1, 65_535),
        ],
    )
    def test_of_what_nobody_can_show_is_none(self, aspect: SampleAspect) -> None:
        assert showable_aspect(aspect, 720, 576) == NO_ASPECT
