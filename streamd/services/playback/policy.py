"""Which channels and recordings are locked, and how."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Policy(enum.StrEnum):
    """The viewers who may watch."""

    PUBLIC = "public"
    """Everybody."""
    SIGNED = "signed"
    """Viewers who show a token."""
    PASSWORD = "password"  # noqa: S105  # its name
    """Viewers who type the channel's password, or show a token."""
    HOOK = "hook"
    """Viewers whom the operator's service lets in; a token is the service's to judge."""


@dataclass(frozen=True, slots=True)
class PlaybackRule:
    """The decision for one channel or recording."""

    policy: Policy
    password_hash: str = ""
    """The password's hash as argon2 writes it; empty for none."""


class Policies:
    """The policy of every channel and recording.

    Args:
        default: The policy of those for which nothing is decided.

    Attributes:
        version: Another number after each change.
    """

    def __init__(self, default: Policy = Policy.PUBLIC) -> None:
        self._default = default
        self._rules: dict[str, PlaybackRule] = {}
        self.version = 0

    @property
    def default(self) -> Policy:
        """The policy of those for which nothing is decided."""
        return self._default

    @default.setter
    def default(self, policy: Policy) -> None:
        self._default = policy
        self.version += 1

    @property
    def rules(self) -> Mapping[str, PlaybackRule]:
        """Those that are decided for one channel or recording."""
        return self._rules

    @property
    def locks_any(self) -> bool:
        """Whether anything is locked: else doors need not ask."""
        return self.default is not Policy.PUBLIC or any(
            rule.policy is not Policy.PUBLIC for rule in self._rules.values()
        )

    def replace(self, rules: Mapping[str, PlaybackRule]) -> set[str]:
        """Take other rules; return the subjects whose policy or password is another one now."""
        before, self._rules = self._rules, dict(rules)
        self.version += 1
        return {name for name in {*before, *rules} if self._rule_in(before, name) != self._rule_in(self._rules, name)}

    def of(self, subject: str, owner: str = "") -> Policy:
        """The policy of a channel, or of a recording.

        Args:
            subject: Its name or id.
            owner: The channel that a recording is of.
        """
        rule = self._rules.get(subject) or (self._rules.get(owner) if owner else None)
        return self._default if rule is None else rule.policy

    def password_hash(self, subject: str, owner: str = "") -> str:
        """The hash of the password of a channel or recording; empty for none."""
        rule = self._rules.get(subject) or self._rules.get(owner)
        return "" if rule is None else rule.password_hash

    def _rule_in(self, rules: Mapping[str, PlaybackRule], name: str) -> PlaybackRule:
        return rules.get(name) or PlaybackRule(self.default)
