"""The operators whose tokens work, in memory: every request of the admin port is decided here, without the database.

So a token that is revoked is dead with the next request, and an operator can act while the database is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.services.operators.records import OperatorState
from streamd.services.operators.token import OperatorToken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.clock import Clock
    from streamd.services.operators.records import Credentials, OperatorRecord


class Roster:
    """The operators, by name and by token.

    Args:
        clock: Wall time decides over expiry.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_name: dict[str, Credentials] = {}
        self._by_token: dict[str, Credentials] = {}
        self._condemned: set[str] = set()

    def __len__(self) -> int:
        """How many there are, those whose tokens do not work included."""
        return len(self._by_name)

    def put_all(self, everybody: Iterable[Credentials]) -> bool:
        """Take what the store has; returns whether that is another than before."""
        by_name = {each.record.name: each for each in everybody}
        if by_name == self._by_name:
            return False
        self._by_name = by_name
        self._by_token = {each.record.token_id: each for each in by_name.values()}
        return True

    def put(self, credentials: Credentials) -> None:
        """Take one operator as they are now."""
        self.put_all([*(each for name, each in self._by_name.items() if name != credentials.record.name), credentials])

    def remove(self, name: str) -> None:
        """Forget an operator."""
        self.put_all([each for known, each in self._by_name.items() if known != name])

    def condemn(self, name: str) -> None:
        """Take nothing of an operator from here on, whatever the store has."""
        self._condemned.add(name)

    def release(self, name: str) -> None:
        """The store's word is enough again."""
        self._condemned.discard(name)

    def credentials_of(self, name: str) -> Credentials | None:
        """The credentials of an operator whose token works; None of any other."""
        return self._living(self._by_name.get(name))

    def tokens(self) -> frozenset[str]:
        """The ids of the tokens that work now."""
        return frozenset(each.record.token_id for each in self._by_name.values() if self._living(each) is not None)

    def record_of(self, name: str) -> OperatorRecord | None:
        """The operator of a name, whether the token works or not."""
        credentials = self._by_name.get(name)
        return None if credentials is None else credentials.record

    def find(self, shown: str) -> OperatorRecord | None:
        """Find the operator who shows a token.

        Args:
            shown: As it came.
        """
        token = OperatorToken.parse(shown)
        if token is None:
            return None
        credentials = self._by_token.get(token.token_id)
        is_right = token.matches(None if credentials is None else credentials.secret_hash)
        living = self._living(credentials)
        return living.record if is_right and living is not None else None

    def holder(self, name: str, token_id: str) -> OperatorRecord | None:
        """The operator of a session, as long as the token that began it works."""
        living = self._living(self._by_name.get(name))
        return living.record if living is not None and living.record.token_id == token_id else None

    def _living(self, credentials: Credentials | None) -> Credentials | None:
        if credentials is None or credentials.record.name in self._condemned:
            return None
        state = credentials.record.state_at(self._clock.now())
        return credentials if state is OperatorState.ACTIVE else None
