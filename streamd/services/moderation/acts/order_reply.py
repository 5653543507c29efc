"""The reply to an authority's order: what was done about what it names, and when.

Spec: Regulation (EU) 2022/2065 article 9(1): the authority is told "of any effect given to the order without undue
delay, specifying if and when effect was given".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.services.moderation.acts.order import Order

_DONE = {
    "taken_down": "removed: nothing of it is shown any more",
    "blocked": "not shown in the territory of the order",
    "not_here": "not on this service",
    "impossible": "not carried out",
}


def reply_text(order: Order) -> str:
    """The reply, in lines of plain text."""
    lines = [
        f"To: {order.authority}",
        f"Your order: {order.reference} ({order.legal_basis})",
        f"Our reference: {order.id}",
        f"Received: {_time(order.received_at)}",
        f"Effect given: {_time(order.acted_at)}, {_duration(order.took_s)} after receipt",
    ]
    if order.deadline is not None:
        kept = "kept" if order.is_in_time else "missed"
        lines.append(f"Deadline: {_time(order.deadline)} ({kept})")
    where = ", ".join(order.territorial_scope) or "everywhere"
    lines += [f"Territory: {where}", "", "What was done:"]
    for effect in order.effects:
        done = _DONE[effect.effect.value]
        reason = f" ({effect.detail})" if effect.effect.value in ("not_here", "impossible") and effect.detail else ""
        named = f" [{effect.act_id}]" if effect.act_id else ""
        lines.append(f"- {effect.url}: {done}{reason}{named}")
    return "\n".join(lines) + "\n"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"
