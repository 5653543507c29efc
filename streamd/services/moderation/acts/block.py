"""A block, of publishing or of viewing, and the rules of its parts."""

from __future__ import annotations

import enum
import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from streamd.errors import BlockError
from streamd.services.keys.records import USER_NAME
from streamd.services.keys.request import REASON_LENGTH_MAX, USER_NAME_RULE, checked_reason
from streamd.services.keys.stream_key import StreamKey, is_key_id
from streamd.services.moderation.territory import COUNTRIES, countries_of
from streamd.services.playback.view_blocks import EVERYTHING, EVERYWHERE, ViewBlock
from streamd.services.recording.recording_id import is_clip_id, is_recording_id

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDER_CHARS_MAX: Final = 200
# A PDQ hash has 256 bits.
HASH_DIGITS: Final = 64
_HASH: Final = re.compile(r"[0-9a-f]*")
# A block of a wider network than a provider has blocks half the world, most likely by a slip.
WIDEST_PREFIXES: Final = {4: 8, 6: 16}


class BlockKind(enum.StrEnum):
    """What is named."""

    CHANNEL = "channel"
    """A channel; for viewers also one recording or clip."""
    USER = "user"
    """The same by its other name: a user has one channel, named like the user."""
    KEY = "key"
    NETWORK = "network"
    COUNTRY = "country"
    HASH = "hash"
    """A picture, by its PDQ hash: what shows it is put before a moderator at once."""


class BlockScope(enum.StrEnum):
    """What may not be done."""

    PUBLISH = "publish"
    """A channel that is blocked here is dark, as that of a suspended user is."""
    VIEW = "view"


@dataclass(frozen=True, slots=True)
class Block:
    """One block, as it is kept."""

    id: str
    """``blk_…``."""
    kind: BlockKind
    value: str
    scope: BlockScope
    added_at: datetime
    added_by: str
    countries: tuple[str, ...] = ()
    """Where, for viewers; empty for everywhere."""
    until: datetime | None = None
    order: str = ""
    """The order that it follows: an id, or an authority's reference."""
    reason: str = ""

    @property
    def place(self) -> tuple[str, str, str, tuple[str, ...], str]:
        """By which an equal one is found; what another order wants is another block, which stays when this one goes."""
        kind = BlockKind.CHANNEL if self.kind is BlockKind.USER else self.kind
        return kind.value, self.value, self.scope.value, self.countries, self.order

    def covers(self, other: Block) -> bool:
        """Whether this one, of the same place, holds for as long as the other."""
        return self.until is None or (other.until is not None and other.until <= self.until)

    @property
    def names_channel(self) -> bool:
        """Whether it is about a channel, or something of one."""
        return self.kind in (BlockKind.CHANNEL, BlockKind.USER)

    @property
    def view(self) -> ViewBlock:
        """What it keeps from viewers; of one with the scope ``view``."""
        match self.kind:
            case BlockKind.NETWORK:
                return ViewBlock(EVERYTHING, network=ipaddress.ip_network(self.value))
            case BlockKind.COUNTRY:
                return ViewBlock(EVERYTHING, (self.value,))
            case _:
                return ViewBlock(self.value, self.countries or (EVERYWHERE,))


def checked_block(
    *,
    block_id: str,
    kind: str,
    value: str,
    scope: str = "",
    countries: Sequence[str] = (),
    until: datetime | None = None,
    order: str = "",
    reason: str = "",
    now: datetime,
    by: str,
    allows_wide: bool = False,
) -> Block:
    """A block whose parts fit each other.

    Args:
        block_id: Its id.
        kind: A ``BlockKind``.
        value: What is named.
        scope: A ``BlockScope``; empty for ``publish``.
        countries: Where, for viewers.
        until: When it ends by itself; None for never.
        order: The order that it follows.
        reason: In the operator's words.
        now: Wall time of the act.
        by: Name of the actor.
        allows_wide: A network may be as wide as the world.

    Raises:
        BlockError: They do not; it names the part.
        KeyRequestError: A reason that cannot be.
    """
    if kind not in BlockKind.__members__.values():
        raise BlockError("kind", f"one of {', '.join(BlockKind)}")
    scope = scope or BlockScope.PUBLISH.value
    if scope not in BlockScope.__members__.values():
        raise BlockError("scope", "publish or view")
    named, where = BlockKind(kind), BlockScope(scope)
    if countries and not (where is BlockScope.VIEW and named in (BlockKind.CHANNEL, BlockKind.USER)):
        raise BlockError("countries", "a channel alone is blocked by country, for viewers (scope view)")
    if where is BlockScope.VIEW and named in (BlockKind.KEY, BlockKind.HASH):
        raise BlockError("scope", f"a {named.value} is blocked at publish alone")
    try:
        territory = tuple(sorted(countries_of(countries)))
    except ValueError as exc:
        raise BlockError("countries", str(exc)) from None
    if until is not None and until <= now:
        raise BlockError("until", "this is in the past")
    order = checked_reason(order)
    if len(order) > ORDER_CHARS_MAX:
        raise BlockError("order", f"at most {ORDER_CHARS_MAX} characters")
    return Block(
        id=block_id,
        kind=named,
        value=_checked_value(named, where, value.strip(), allows_wide=allows_wide),
        scope=where,
        added_at=now,
        added_by=by,
        countries=territory,
        until=until,
        order=order,
        reason=checked_reason(reason[: REASON_LENGTH_MAX + 1]),
    )


def _checked_value(kind: BlockKind, scope: BlockScope, value: str, *, allows_wide: bool) -> str:
    match kind:
        case BlockKind.CHANNEL | BlockKind.USER:
            if scope is BlockScope.VIEW and (is_recording_id(value) or is_clip_id(value)):
                return value
            if not USER_NAME.fullmatch(value):
                # It is not repeated: it may be a stream key.
                raise BlockError("value", USER_NAME_RULE)
            return value
        case BlockKind.KEY:
            key = StreamKey.parse(value)
            if key is None and not is_key_id(value):
                raise BlockError("value", "this is no id of a key")
            return key.key_id if key is not None else value
        case BlockKind.NETWORK:
            return _checked_network(value, allows_wide=allows_wide)
        case BlockKind.COUNTRY:
            code = value.upper()
            if code not in COUNTRIES:
                raise BlockError("value", f"{value[:16]!r} is no country: write two letters (ISO 3166)")
            return code
        case BlockKind.HASH:
            digits = value.lower()
            if not _HASH.fullmatch(digits) or len(digits) != HASH_DIGITS:
                raise BlockError("value", f"a PDQ hash has {HASH_DIGITS} hexadecimal digits")
            return digits


def _checked_network(value: str, *, allows_wide: bool) -> str:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise BlockError("value", "write a network, such as 192.0.2.0/24, or an address") from None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            network = ipaddress.ip_network((mapped, network.prefixlen - 96))
    if network.prefixlen < WIDEST_PREFIXES[network.version] and not allows_wide:
        raise BlockError(
            "value", f"{network} is {network.num_addresses:,} addresses; say yes_all (--yes-all) if you mean that"
        )
    return str(network)
