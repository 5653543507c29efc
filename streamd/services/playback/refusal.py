"""The reason why a viewer may not watch: the answer's status, and its text for them.

The text helps whoever made the link, and tells nothing of the token that was shown.

Spec: RFC 9110 sections 15.5.2 (401) and 15.5.4 (403); RFC 6585 section 4 (429); RFC 7725 (451).
"""

from __future__ import annotations

import enum

from streamd.errors import PlaybackRefusedError


class Refusal(enum.Enum):
    """A reason, with its status and its text."""

    NO_TOKEN = 401, "Watching this needs a token in the address: open the link that you were given."
    PASSWORD = 401, "Watching this needs a password: open the channel's page."
    MALFORMED = 403, "The token in the address is not one that this server can read: is the link whole?"
    REPEATED = 403, "The address has more than one token."
    UNKNOWN_KEY = 403, "The token is signed with a key that this server does not have."
    SIGNATURE = 403, "The token's signature is not right."
    EXPIRED = 403, "The link has expired."
    NOT_YET = 403, "The link is not good yet."
    SUBJECT = 403, "The link is for another channel or recording."
    AUDIENCE = 403, "The link is not for this kind of media."
    ISSUER = 403, "The token is of an issuer that this server does not know."
    REVOKED = 403, "The link has been withdrawn."
    NETWORK = 403, "The link is not good from this network."
    COUNTRY = 403, "This cannot be watched from your country."
    REFERRER = 403, "This cannot be watched on this site."
    TOO_MANY = 403, "As many people as may watch with this link are watching already."
    TICKET = 403, "This address is not good here, or not any more: open the link again."
    FORBIDDEN = 403, "You may not watch this."
    TOO_OFTEN = 429, "Too many tries came from your network. Wait a minute, then try again."
    BLOCKED = 451, "This cannot be shown in your country, by an order."
    UNDECIDED = 503, "Whether you may watch this cannot be found out now. Try again in a moment."

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text

    @property
    def word(self) -> str:
        """Its name in metrics and in the log."""
        return self.name.lower()

    def error(self, link: str = "") -> PlaybackRefusedError:
        """The error to raise.

        Args:
            link: The ``Link`` field of the answer, empty for none.
        """
        return PlaybackRefusedError(self.status, self.word, self.text, link=link)
