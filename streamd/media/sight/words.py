"""The words in a picture: an address to write to, a price, a slogan.

Read by rapidocr, whose models are in its package.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
from rapidocr import RapidOCR

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

# A frame full of text has some fifty lines.
LINES_MAX = 50
LINE_LENGTH_MAX = 200
# Of 1: below it, letters are guessed.
SCORE_MIN = 0.6
# Its detector enlarges smaller pictures to it. Text that viewers can read is ten lines high or more, and it finds that
# in 540; at its own 736 a picture takes twice as long.
SIDE_PIXELS = 544
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


class Reader:
    """Reads the words in pictures; loads its models at once."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self._read = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "Det.limit_side_len": SIDE_PIXELS,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def warm(self, picture: NDArray[numpy.uint8]) -> list[str]:
        """Read a word of our own, so that every model is loaded before a sandbox is locked.

        Args:
            picture: Rows, columns, and three values; it is written on.
        """
        cv2.putText(picture, "streamd", (16, 64), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (255, 255, 255), 3)
        return self.lines(picture)

    def lines(self, picture: NDArray[numpy.uint8]) -> list[str]:
        """Read a picture.

        Args:
            picture: Rows, columns, and red, green and blue.

        Returns:
            Its lines of text, from above, at most ``LINES_MAX``.
        """
        # It takes blue first, as OpenCV does.
        found = self._read(picture[:, :, ::-1])
        if found.txts is None:
            return []
        lines = (
            _UNPRINTABLE.sub("", text)[:LINE_LENGTH_MAX].strip()
            for text, score in zip(found.txts, found.scores, strict=True)
            if score >= SCORE_MIN
        )
        return [line for line in lines if line][:LINES_MAX]
