"""Who may make which call of the admin API, written down once more and by hand."""

from __future__ import annotations

A, O, M, R = "admin", "operator", "moderator", "auditor"  # noqa: E741  # columns of the table
# Who may do what, written down once more and by hand: a call that is not here is for admins alone.
MAY = {
    "GET /metrics": {A, O, M, R},
    "GET /openapi.json": {A, O, M, R},
    "POST /api/v1/session": {A, O, M, R},
    "GET /api/v1/session": {A, O, M, R},
    "POST /api/v1/session/end": {A, O, M, R},
    "POST /api/v1/session/totp": {A, O, M, R},
    "POST /api/v1/session/totp/confirm": {A, O, M, R},
    "POST /api/v1/session/totp/remove": {A, O, M, R},
    "GET /api/v1/history": {A, O, M, R},
    "GET /api/v1/events": {A, O, M, R},
    "GET /api/v1/audit": {A, O, M, R},
    "POST /api/v1/streams/{name}/preview": {A, O, M, R},
    "GET /api/v1/streams": {A, O, M, R},
    "GET /api/v1/streams/{name}": {A, O, M, R},
    "GET /api/v1/users": {A, O, M, R},
    "GET /api/v1/users/{name}": {A, O, M, R},
    "GET /api/v1/recordings": {A, O, M, R},
    "GET /api/v1/recordings/{id}": {A, O, M, R},
    "GET /api/v1/keys": {A, O, R},
    "GET /api/v1/keys/{id}": {A, O, R},
    "POST /api/v1/keys": {A, O},
    "POST /api/v1/keys/import": {A, O},
    "POST /api/v1/keys/{id}/rotate": {A, O},
    "POST /api/v1/keys/{id}/revoke": {A, O},
    "DELETE /api/v1/keys/{id}": {A, O},
    "PATCH /api/v1/users/{name}": {A, O},
    "DELETE /api/v1/users/{name}": {A, O},
    "POST /api/v1/streams/{name}/record": {A, O},
    "POST /api/v1/streams/{name}/kick": {A, O, M},
    "PATCH /api/v1/recordings/{id}": {A, O, M},
    "DELETE /api/v1/recordings/{id}": {A, M},
}
# Calls of capabilities, where the server has them.
MAY_WHERE_THERE_ARE = {
    "GET /api/v1/playback-keys": {A, O, R},
    "POST /api/v1/playback-keys": {A, O},
    "POST /api/v1/playback-keys/{id}/rotate": {A, O},
    "DELETE /api/v1/playback-keys/{id}": {A, O},
    "POST /api/v1/playback-tokens": {A, O},
    "POST /api/v1/playback/revoke": {A, O},
    "GET /api/v1/evidence": {A, M},
    "GET /api/v1/evidence/{id}": {A, M},
    "GET /api/v1/evidence/{id}/files/{name}": {A, M},
    "GET /api/v1/cases/{id}/findings": {A, M},
    "GET /api/v1/cases/{id}/draft": {A, M},
    "GET /api/v1/assistance": {A, O, M, R},
    "POST /api/v1/clips": {A, O, M},
    "GET /api/v1/clips": {A, O, M, R},
    "GET /api/v1/clips/{id}": {A, O, M, R},
    "DELETE /api/v1/clips/{id}": {A, O, M},
    "POST /api/v1/recordings/{id}/export": {A, O, M},
    "GET /api/v1/recordings/{id}/export": {A, O, M, R},
    "DELETE /api/v1/recordings/{id}/export": {A, O, M},
    "GET /api/v1/recordings/{id}/export.mp4": {A, O, M},
    "POST /api/v1/takedowns": {A, M},
    "GET /api/v1/takedowns": {A, O, M, R},
    "GET /api/v1/takedowns/{id}": {A, O, M, R},
    "POST /api/v1/takedowns/{id}/restore": {A, M},
    "POST /api/v1/blocks": {A, M},
    "GET /api/v1/blocks": {A, O, M, R},
    "POST /api/v1/blocks/import": {A, M},
    "GET /api/v1/blocks/{id}": {A, O, M, R},
    "DELETE /api/v1/blocks/{id}": {A, M},
    "POST /api/v1/orders": {A, M},
    "GET /api/v1/orders": {A, O, M, R},
    "GET /api/v1/orders/{id}": {A, O, M, R},
    "POST /api/v1/orders/{id}/answered": {A, M},
}
OF_ADMINS = {
    "POST /api/v1/operators",
    "GET /api/v1/operators",
    "GET /api/v1/operators/{name}",
    "PATCH /api/v1/operators/{name}",
    "DELETE /api/v1/operators/{name}",
    "POST /api/v1/operators/{name}/rotate",
    "POST /api/v1/operators/{name}/revoke",
}


def may(role: str, call: str) -> bool:
    """Whether a role may make a call, as ``GET /api/v1/keys``; one that stands nowhere is for admins alone."""
    return role in (MAY | MAY_WHERE_THERE_ARE).get(call, {A})
