"""A ticket: what a viewer has in the path of every address once their token was checked.

``{kid}.{expiry}.{session}.{mac}`` is all that there is to know of it, so that the next process, or another node, reads
what this one has written. It is bound to one channel or recording by its MAC, and to the key, the token and the viewer
that it came of by digests, so that each can be withdrawn.

Spec: RFC 2104 (HMAC), cut to 128 bits as its section 5 allows; RFC 4648 section 5 (base64url).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
import secrets
import struct
from dataclasses import dataclass
from typing import Final

from streamd.services.playback.claims import NETWORKS_MAX, Audience, Network

# Of a channel's or recording's name, a key's id and the like; two that collide by chance end together, no more.
DIGEST_BYTES: Final = 8
KID_CHARS: Final = 8
SESSION_BYTES: Final = 6
_MAC_BYTES: Final = 16
_MAC_CHARS: Final = 22
NO_DIGEST: Final = bytes(DIGEST_BYTES)
# 29 bytes and four IPv6 networks of 18, as text; with the rest of it.
TICKET_CHARS_MAX: Final = 184

# Flags, viewers at once, time of issue, session, digests of token and viewer.
_FIXED = struct.Struct(f"!BHI{SESSION_BYTES}s{DIGEST_BYTES}s{DIGEST_BYTES}s")
_AUDIENCES: Final = 0x0F
_NO_PAST: Final = 0x10
# One spelling of each part, so that one ticket is one text.
_FORM = re.compile(
    rf"([0-9a-f]{{{KID_CHARS}}})\.([1-9][0-9]{{0,11}})\.([A-Za-z0-9_-]{{39,136}})\.([A-Za-z0-9_-]{{22}})"
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """The facts in a ticket."""

    key: str
    """Digest of the id of the key that admitted the viewer, as text."""
    expires_at: int
    """Unix time, seconds."""
    issued_at: int
    """Unix time, seconds."""
    session: bytes
    """Which of all viewings."""
    token: bytes
    """Digest of the token's ``jti``, or of the token itself."""
    viewer: bytes = NO_DIGEST
    """Digest of ``uid``; ``NO_DIGEST`` for none."""
    audience: Audience = Audience.VIDEO
    viewers_max: int = 0
    """Viewers at once; 0: no bound."""
    networks: tuple[Network, ...] = ()
    """Networks in which it is good; none: everywhere."""
    may_go_back: bool = True
    """It opens the past too."""


def digest(kind: str, text: str) -> bytes:
    """The digest by which a ticket and the revocations name something.

    Args:
        kind: The kind of thing: the same text of two kinds has two digests.
        text: Its name.
    """
    return hashlib.blake2b(f"{kind}\n{text}".encode(), digest_size=DIGEST_BYTES).digest()


def key_digest(kid: str) -> str:
    """The digest of the id of a key, as a ticket begins with it."""
    return digest("kid", kid).hex()[:KID_CHARS]


def new_session() -> bytes:
    """A viewing that there was not before."""
    return secrets.token_bytes(SESSION_BYTES)


def session_of(shown: str, source: str, user_agent: str) -> bytes:
    """The viewing of one player that shows the same for each piece of a file that it asks for.

    Args:
        shown: The token or ticket that it shows.
        source: The peer that the viewer's address is counted as.
        user_agent: The name that the player gives itself.
    """
    text = f"{source}\n{user_agent}\n{shown}"
    return hashlib.blake2b(text.encode(), digest_size=SESSION_BYTES, person=b"pieces").digest()


class TicketOffice:
    """Writes tickets, and reads its own.

    Args:
        secret: Known to every process that reads them; 32 random bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def write(self, ticket: Ticket, subject: str) -> str:
        """Write a ticket for one channel or recording."""
        assert len(ticket.networks) <= NETWORKS_MAX, "read_claims allows no more"
        flags = int(ticket.audience) | (0 if ticket.may_go_back else _NO_PAST)
        packed = _FIXED.pack(
            flags, ticket.viewers_max, ticket.issued_at, ticket.session, ticket.token, ticket.viewer
        ) + b"".join(_packed(network) for network in ticket.networks)
        text = f"{ticket.key}.{ticket.expires_at}.{_encoded(packed)}"
        return f"{text}.{self._mac(subject, text)}"

    def read(self, text: str, subject: str) -> Ticket | None:
        """Read a ticket; None for what is none, or none for this channel or recording.

        Args:
            text: As it stands in the path.
            subject: The name that the path has.
        """
        if len(text) > TICKET_CHARS_MAX or (found := _FORM.fullmatch(text)) is None:
            return None
        key, expiry, packed, mac = found.groups()
        # Compared as text: base64 has several spellings of its last letter, and one of them is ours.
        if not hmac.compare_digest(mac, self._mac(subject, text[: -_MAC_CHARS - 1])):
            return None
        try:
            # Ours, as the MAC is: it can be read.
            data = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
            flags, viewers_max, issued_at, session, token, viewer = _FIXED.unpack_from(data)
            networks = _networks(data[_FIXED.size :])
        except (binascii.Error, struct.error, ValueError):
            return None
        return Ticket(
            key=key,
            expires_at=int(expiry),
            issued_at=issued_at,
            session=session,
            token=token,
            viewer=viewer,
            audience=Audience(flags & _AUDIENCES),
            viewers_max=viewers_max,
            networks=networks,
            may_go_back=not flags & _NO_PAST,
        )

    def word(self, subject: str, epoch: str) -> str:
        """The word in the names of a locked channel's media, which is the same for all of its viewers.

        A cache in front keeps one copy of a part under it, and checks nobody: the word is told in playlists alone,
        which come from here.

        Args:
            subject: The channel or recording.
            epoch: Another epoch has another word.
        """
        mac = hmac.digest(self._secret, f"word\n{subject}\n{epoch}".encode(), "sha256")
        return base64.b32hexencode(mac[:_MAC_BYTES]).decode().rstrip("=").lower()

    def secret_of(self, purpose: str) -> bytes:
        """Another secret of the same process and its fellows."""
        return hmac.digest(self._secret, f"secret\n{purpose}".encode(), "sha256")

    def _mac(self, subject: str, text: str) -> str:
        mac = hmac.digest(self._secret, f"ticket\n{subject}\n{text}".encode(), "sha256")
        return _encoded(mac[:_MAC_BYTES])


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _packed(network: Network) -> bytes:
    """The length of its address, its prefix, and the address."""
    address = network.network_address.packed
    return bytes((len(address), network.prefixlen)) + address


def _networks(data: bytes) -> tuple[Network, ...]:
    found: list[Network] = []
    while data:
        end = 2 + data[0]
        found.append(ipaddress.ip_network((data[2:end], data[1])))
        data = data[end:]
    return tuple(found)
