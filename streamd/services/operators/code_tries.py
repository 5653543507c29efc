"""How often a wrong code may be tried.

A code has a million values, of which three are right at a time: whoever has the token of an operator and tries codes at
this pace has one chance in a thousand a day, and each try is a row of the audit log.

Spec: RFC 4226 section 7.3, throttling at the server.
"""

from __future__ import annotations

# Wrong codes at once: of a telephone that is late, of fingers in a hurry.
TRIES_MAX = 5
# After them one more each time these seconds have passed.
TRY_S = 300.0


class CodeTries:
    """The wrong codes of each operator.

    Kept as the generic cell rate algorithm keeps it: one number a name, the time at which all tries are back.
    """

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        """Operators who have tried a wrong one lately."""
        return len(self._full_at)

    def wait_s(self, name: str, now: float) -> float:
        """Seconds until a code of this operator is looked at; 0 for at once.

        Args:
            name: The operator whose code it is.
            now: Loop time, seconds.
        """
        missing_s = self._full_at.get(name, now) - now
        return max(0.0, missing_s - (TRIES_MAX - 1) * TRY_S)

    def spend(self, name: str, now: float) -> None:
        """A wrong code was shown."""
        self._full_at = {each: full_at for each, full_at in self._full_at.items() if full_at > now}
        self._full_at[name] = max(self._full_at.get(name, now), now) + TRY_S
