"""The inputs of the key service: ids, names, texts and numbers, checked before any act."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from streamd.errors import KeyNotFoundError, KeyRequestError, UserNotFoundError
from streamd.services.keys.records import USER_NAME
from streamd.services.keys.stream_key import StreamKey, is_key_id

# Length for a list that an operator reads; longer text belongs elsewhere.
LABEL_LENGTH_MAX = 100
REASON_LENGTH_MAX = 500
# A rotation is over within days; an operator who wants two keys for longer issues two.
OVERLAP_S_MAX = 30 * 86_400
# Items of one page; a page is built in one step of the loop.
PAGE_LIMIT_MAX = 1_000
# Range of a user's limits. Sound alone takes 100 kb/s, and the largest is what any network card carries.
BITRATE_KBPS_RANGE = (100, 100_000_000)
# As `[limits] picture_pixels_max`: from a thumbnail to 8K, the largest that H.264 and HEVC have a level for.
PICTURE_PIXELS_RANGE = (16_384, 35_651_584)
USER_NAME_RULE = "a user name is 2 to 64 small letters, digits, '-' and '_', and begins with a letter or digit"
_LIMIT_RANGES = {"bitrate_kbps_max": BITRATE_KBPS_RANGE, "picture_pixels_max": PICTURE_PIXELS_RANGE}


def checked_key_id(key_id: str) -> str:
    """The id of a key that may exist.

    Raises:
        KeyNotFoundError: It does not have the form of one. It may be a whole stream key, and goes no further.
    """
    if not is_key_id(key_id):
        raise KeyNotFoundError
    return key_id


def checked_user_name(user: str) -> str:
    """The name of a user who may exist.

    Raises:
        UserNotFoundError: It does not have the form of one, and is not repeated.
    """
    if not USER_NAME.fullmatch(user):
        raise UserNotFoundError
    return user


def checked_label(label: str) -> str:
    """A label as it is stored.

    Raises:
        KeyRequestError: It is too long, not one line of text, or holds a stream key.
    """
    return _text(label, "label", LABEL_LENGTH_MAX)


def checked_reason(reason: str) -> str:
    """A reason as it is stored.

    Raises:
        KeyRequestError: It is too long, not one line of text, or holds a stream key.
    """
    return _text(reason, "reason", REASON_LENGTH_MAX)


def checked_limits(change: Mapping[str, int | None]) -> dict[str, int | None]:
    """A change of a user's limits, as it is stored.

    Args:
        change: Names of fields of ``PublishLimits`` and their new values; None is the server's limit.

    Raises:
        KeyRequestError: There is no such limit, or it cannot be this.
    """
    for name, value in change.items():
        if name not in _LIMIT_RANGES:
            raise KeyRequestError("a user's limits are bitrate_kbps_max and picture_pixels_max")
        least, most = _LIMIT_RANGES[name]
        if value is not None and not least <= value <= most:
            raise KeyRequestError(f"{name} is from {least} to {most}")
    return dict(change)


def _text(value: str, name: str, length_max: int) -> str:
    """Check a text that people write, for the store, lists and logs."""
    value = value.strip()
    if len(value) > length_max:
        raise KeyRequestError(f"{name} has {len(value)} characters, {length_max} are allowed")
    # Control characters, lone surrogates, line and paragraph separators: none belongs into one line of text.
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in value):
        raise KeyRequestError(f"{name} holds a control character or line break")
    if StreamKey.occurs_in(value):
        raise KeyRequestError(f"{name} holds a stream key, which is never stored; name the key by its id")
    return value
