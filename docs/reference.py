"""Makes ``docs/api-reference.md``: every call of both APIs with its input, its answer, its errors and an example.

    python -m docs.reference

The calls, fields and bounds are those of the OpenAPI documents, and so of the types that requests are validated with.
The examples are requests that were made of the apps, and what they answered; ids, secrets and times are written as
fixed ones, so that the page changes only where the API does. A test makes the page anew and compares.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import sys
import tempfile
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock, SystemClock
from streamd.doors.delivery.answer import Absence
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.web.public.app import public_app
from streamd.doors.web.public.clips import ClipRoutes
from streamd.doors.web.public.media import MediaRoutes, MediaTimeouts
from streamd.doors.web.public.obs import ObsDesk
from streamd.doors.web.public.pages import Pages
from streamd.doors.web.public.recorded_lists import RecordedLists
from streamd.doors.web.public.reports import ReportRoutes
from streamd.doors.web.public.vod import VodRoutes
from streamd.services.events.event import unheard
from streamd.services.keys.key_store import KeyStore
from streamd.services.live.health import HealthCode
from streamd.services.metrics import Metrics
from streamd.services.moderation.cases.case_records import Outcome
from streamd.services.moderation.cases.report_menu import ReportMenu
from streamd.services.moderation.categories import TITLES, Keyword
from streamd.services.obs.ladder import ObsOptions, Rung
from streamd.services.operators.roles import RIGHTS, Right, Role, roles_with
from streamd.services.operators.totp import STEP_S, code_of
from streamd.services.recording.clip_index import ClipIndex
from streamd.services.recording.clip_records import ClipMaker
from streamd.services.recording.clips import ClipOptions, Clips
from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode, RecordingRecord, RecordingState
from tests.support.admin_server import run_admin_server
from tests.support.fragmented_media import fragmented_media
from tests.support.ingest import GOOD_KEY, FakeKeys
from tests.support.live_streams import LIVE_SINCE, Streams, summary
from tests.support.moderation import ModerationHouse
from tests.support.ports import port_of
from tests.support.recordings import MAIN, append, new_writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streamd.doors.delivery.channels import PublicChannels
    from streamd.services.keys.verifier import KeyVerifier

PAGE = Path(__file__).with_name("api-reference.md")
TOKEN = "only-for-the-documentation"  # noqa: S105  # the server lives for a moment, on loopback
TIMEOUT_S = 30
# While something is made, it is asked for again after this.
ASK_AGAIN_S = 0.05
# Of the metrics, these lines are shown; those before have the version.
METRICS_LINES = slice(3, 9)
KEY_IDS = ("7k2m9xq4ct", "p3v8n5w2rz", "c6h4t9b2yd")
RECORDING_ID = "rec_01kjmg3m00q8p4w6s2v0x9y7z5"
CLIP_ID = "clip_01kjmg3m00q8p4w6s2v0x9y7z5"
RECORDING = RecordingRecord(
    id=RECORDING_ID,
    user="bob",
    state=RecordingState.READY,
    started_at=LIVE_SINCE,
    path=f"bob/2026/01/01/{RECORDING_ID}",
    ended_at=LIVE_SINCE + timedelta(minutes=90),
    duration_ms=5_400_000,
    size_bytes=1_687_500_000,
)
EXPORTED = replace(RECORDING, id="rec_01kjmg3m00q8p4w6s2v0x9y7z6", user="dora", path="dora/2026/01/01/exported")
# Texts that differ from one run to the next are written as fixed ones.
PRIVATE_KEY = re.compile(r"(-----BEGIN PRIVATE KEY-----\\n)[^-]+(\\n-----END)")
VIEWER_TOKEN = re.compile(r"eyJ[\w.-]+")
PLAYBACK_KEY = re.compile(r"pk_[0-9a-f]{10}")
PLAYBACK_KEYS = ("pk_0a1b2c3d4e", "pk_5f6071829a")
SECRET = re.compile(r"(sk_[a-z0-9]+_)[A-Za-z0-9]+")
SESSION = re.compile(r'("token": ")[^"]+')
MODERATION = re.compile(r"\b(tgt|tkd|blk|ord|rpt|case|dec|apl|evi)_[0-9a-hjkmnp-tv-z]{26}")
RECEIPT = re.compile(r"\b(st|ap)_[A-Za-z0-9_-]{20,}")
FINDING = re.compile(r"fnd_[0-9a-z]{26}")
HASH = re.compile(r'("(?:sums_sha256|hash)": ")[0-9a-f]{64}')
EXPORT_BYTES = re.compile(r'"bytes": \d+, "expected_bytes": \d+')
EVIDENCE_BYTES = re.compile(r'("kept_at": "[^"]+", "bytes": )\d+')
AUTHENTICATOR = re.compile(r'("secret": "|secret=)[A-Z2-7]{32}')
CODE = re.compile(r'("code": ")\d{6}')
REFERENCE = re.compile(r'"reference": ?"[0-9A-Z]{4}-[0-9A-Z]{2}"')
CLIP = re.compile(r"clip_[0-9a-z]{26}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.]*(Z|\+00:00)")


@dataclass(frozen=True, slots=True)
class Call:
    """A request of the examples."""

    method: str
    path: str
    """Here, in the body and in the token, ``{name}`` stands for what an answer before had: see ``keeps``."""
    body: Mapping[str, Any] | None = None
    token: str = TOKEN
    is_event: bool = False
    """The answer is endless: its first event is read."""
    keeps: Mapping[str, str] = field(default_factory=dict)
    """Names for what the answer has, by where that is: ``cases.0.id``."""
    text: str = ""
    """A body that is no JSON."""
    waits: tuple[str, ...] = ()
    """It is asked again while the answer's ``state`` is one of these."""
    shows: tuple[str, ...] = ()
    """Of a long answer: the fields that the page has."""
    is_hidden: bool = False
    """It is no example, and makes what others need."""


@dataclass(slots=True)
class Example:
    """A request and its answer."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    status: int
    answer: Any
    """JSON's types; of an event stream, its first event; of a file, what it is."""
    text: str = ""
    """A body that is no JSON."""
    is_whole: bool = True


# What answers before have: the token of an operator, and that of their session.
CAROL, CAROLS_SESSION = "{operator}", "{session}"
ADMIN_CALLS = (
    Call(
        "POST",
        "/api/v1/keys",
        {"user": "alice", "label": "studio PC", "expires_at": "2100-01-01T00:00:00Z"},
        keeps={"key": "id"},
    ),
    Call("GET", "/api/v1/keys?user=alice"),
    Call("GET", "/api/v1/keys/{key}"),
    Call("POST", "/api/v1/keys/{key}/rotate", {"overlap_s": 600}),
    Call("POST", "/api/v1/keys/{key}/revoke", {"reason": "seen on stream"}),
    Call("DELETE", "/api/v1/keys/{key}?reason=moved"),
    Call("POST", "/api/v1/keys/import", {"keys": [{"user": "carol", "secret": "Xk29sQm4Tz81LdRwPq7uYb"}]}),
    Call("GET", "/api/v1/users"),
    Call("PATCH", "/api/v1/users/alice", {"state": "suspended", "reason": "until Monday"}),
    Call("GET", "/api/v1/users/alice"),
    Call("DELETE", "/api/v1/users/alice?reason=asked"),
    Call("GET", "/api/v1/streams"),
    Call("GET", "/api/v1/streams/bob"),
    Call("POST", "/api/v1/streams/bob/preview"),
    Call("POST", "/api/v1/streams/bob/kick", {"reason": "off topic"}),
    Call("POST", "/api/v1/streams/alice/record", {"action": "start"}),
    Call("GET", "/api/v1/recordings?user=bob"),
    Call("GET", f"/api/v1/recordings/{RECORDING_ID}"),
    Call(
        "POST",
        "/api/v1/clips",
        {"recording": RECORDING_ID, "start": 61.5, "end": 75, "title": "The goal"},
        keeps={"clip": "id"},
    ),
    Call("GET", "/api/v1/clips?user=bob"),
    Call("GET", "/api/v1/clips/{clip}"),
    Call("PATCH", "/api/v1/clips/{clip}", {"title": "The winning goal"}),
    Call("DELETE", "/api/v1/clips/{clip}?reason=unwanted"),
    Call("POST", f"/api/v1/recordings/{EXPORTED.id}/export", {}),
    Call("GET", f"/api/v1/recordings/{EXPORTED.id}/export", waits=("waiting", "running")),
    Call("GET", f"/api/v1/recordings/{EXPORTED.id}/export.mp4"),
    Call("DELETE", f"/api/v1/recordings/{EXPORTED.id}/export"),
    Call("PATCH", f"/api/v1/recordings/{RECORDING_ID}", {"title": "The first of many", "keep": True}),
    Call("DELETE", f"/api/v1/recordings/{RECORDING_ID}?reason=unwanted"),
    Call("PATCH", "/api/v1/users/carol", {"playback": "signed"}),
    Call("POST", "/api/v1/playback-keys", {"algorithm": "EdDSA", "label": "my site"}, keeps={"kid": "id"}),
    Call("GET", "/api/v1/playback-keys"),
    Call("POST", "/api/v1/playback-keys/{kid}/rotate", {"overlap_s": 3600}),
    Call("POST", "/api/v1/playback-tokens", {"channel": "carol", "uid": "bob", "jti": "order-17", "max": 2}),
    Call("POST", "/api/v1/playback/revoke", {"uid": "bob", "reason": "gave the link on"}),
    Call("DELETE", "/api/v1/playback-keys/{kid}?reason=moved"),
    Call(
        "POST",
        "/api/v1/users/carol/targets",
        {"url": "rtmps://a.rtmps.youtube.com/live2", "stream_key": "abcd-efgh-ijkl-mnop-x9f2", "label": "YouTube"},
        keeps={"target": "id"},
    ),
    Call("GET", "/api/v1/users/carol/targets"),
    Call("PATCH", "/api/v1/users/carol/targets/{target}", {"label": "YouTube, second channel"}),
    Call("POST", "/api/v1/users/carol/targets/{target}/start"),
    Call("POST", "/api/v1/users/carol/targets/{target}/stop"),
    Call("DELETE", "/api/v1/users/carol/targets/{target}"),
    Call("GET", "/api/v1/cases?state=open", keeps={"case": "cases.0.id"}),
    Call("GET", "/api/v1/cases/{case}/reports"),
    Call("GET", "/api/v1/cases/{case}/findings", keeps={"finding": "findings.0.id"}),
    Call("POST", "/api/v1/cases/{case}/findings/{finding}/judge", {"agreed": True}),
    Call("GET", "/api/v1/cases/{case}/draft"),
    Call("POST", "/api/v1/cases/{case}/claim", {}),
    Call("POST", "/api/v1/cases/{case}/note", {"text": "Seen before, in July."}),
    Call(
        "POST",
        "/api/v1/cases/{case}/decide",
        {
            "outcome": "taken_down",
            "statement": {
                "decision_ground": "ILLEGAL_CONTENT",
                "illegal_content_legal_ground": "Penal code, section 131",
                "illegal_content_explanation": "The broadcast shows a person being hurt.",
                "decision_facts": "Seen live on 28 July 2026 at 12:04.",
            },
            "reason": "A person is hurt.",
        },
    ),
    Call("GET", "/api/v1/cases/{case}"),
    Call("POST", "/api/v1/cases/{case}/reopen", {"reason": "The channel says that it was a play."}),
    Call("GET", "/api/v1/appeals", keeps={"appeal": "appeals.0.id"}),
    Call("POST", "/api/v1/appeals/{appeal}/decide", {"outcome": "reversed", "reason": "You are right."}),
    Call("GET", "/api/v1/targets?target=erin"),
    Call("GET", "/api/v1/categories"),
    Call(
        "POST",
        "/api/v1/takedowns",
        {
            "target": "dave",
            "decision_ground": "ILLEGAL_CONTENT",
            "illegal_content_legal_ground": "Penal code, section 131",
            "illegal_content_explanation": "The broadcast shows a person being hurt.",
            "decision_facts": "Seen live on 28 July 2026 at 12:04.",
            "category": "VIOLENCE",
        },
        keeps={"takedown": "id"},
    ),
    Call("GET", "/api/v1/takedowns?channel=dave"),
    Call("GET", "/api/v1/takedowns/{takedown}"),
    Call("POST", "/api/v1/takedowns/{takedown}/restore", {"reason": "it was an exercise"}),
    Call(
        "POST",
        "/api/v1/blocks",
        {"kind": "network", "value": "192.0.2.0/24", "reason": "a farm of stolen keys"},
        keeps={"block": "id"},
    ),
    Call("GET", "/api/v1/blocks?kind=network"),
    Call("GET", "/api/v1/blocks/{block}"),
    Call("DELETE", "/api/v1/blocks/{block}?reason=moved"),
    Call("POST", "/api/v1/blocks/import?dry_run=true", text="kind,value,reason\nchannel,mallory,order 7/26\n"),
    Call(
        "POST",
        "/api/v1/orders",
        {
            "authority": "State media authority",
            "reference": "7/26",
            "legal_basis": "Media treaty, article 4",
            "urls": ["http://localhost/watch/erin"],
            "territorial_scope": ["DE"],
            "received_at": "2026-01-01T12:00:00Z",
        },
        keeps={"order": "id"},
    ),
    Call("GET", "/api/v1/orders?answered=false"),
    Call("POST", "/api/v1/orders/{order}/answered", {"reason": "by post"}),
    Call("GET", "/api/v1/orders/{order}"),
    Call("GET", "/api/v1/evidence?channel=erin", keeps={"evidence": "evidence.0.id"}),
    Call("GET", "/api/v1/evidence/{evidence}"),
    Call("GET", "/api/v1/evidence/{evidence}/files/picture.jpg"),
    Call("GET", "/api/v1/assistance"),
    Call("GET", "/api/v1/audit?newest_first=true&limit=2"),
    Call(
        "POST",
        "/api/v1/operators",
        {"name": "carol", "role": "moderator", "expires_at": "2100-01-01T00:00:00Z"},
        keeps={"operator": "token"},
    ),
    Call("GET", "/api/v1/operators"),
    Call("GET", "/api/v1/operators/carol"),
    Call("POST", "/api/v1/session", token=CAROL, keeps={"session": "token"}, is_hidden=True),
    Call("POST", "/api/v1/session/totp", token=CAROLS_SESSION, keeps={"secret": "secret"}),
    Call("POST", "/api/v1/session/totp/confirm", {"code": "{code}"}, token=CAROLS_SESSION),
    Call("POST", "/api/v1/session/totp/remove", {"code": "{next_code}"}, token=CAROLS_SESSION),
    Call("PATCH", "/api/v1/operators/carol", {"role": "operator"}),
    Call("POST", "/api/v1/operators/carol/rotate"),
    Call("POST", "/api/v1/operators/carol/revoke", {"reason": "left the team"}),
    Call("DELETE", "/api/v1/operators/carol?reason=asked"),
    Call("POST", "/api/v1/session"),
    Call("GET", "/api/v1/session"),
    Call("POST", "/api/v1/session/end"),
    Call("GET", "/api/v1/history"),
    Call("GET", "/api/v1/events", is_event=True),
    Call("GET", "/healthz"),
    Call("GET", "/readyz"),
    Call("GET", "/metrics"),
    Call("GET", "/openapi.json", shows=("openapi",)),
)
PUBLIC_CALLS = (
    Call("GET", "/api/v1/streams"),
    Call("GET", "/api/v1/streams/alice"),
    Call("GET", "/api/v1/streams/bob/recordings"),
    Call("GET", f"/api/v1/recordings/{RECORDING_ID}"),
    Call(
        "POST",
        "/api/v1/clips",
        {"recording": RECORDING_ID, "start": 61.5, "end": 75, "title": "The goal"},
        keeps={"clip": "id"},
    ),
    Call("GET", "/api/v1/clips/{clip}"),
    Call("POST", "/api/v1/obs/config", {"authentication": GOOD_KEY, "preferences": {"maximum_video_tracks": 1}}),
    Call("GET", "/api/v1/report-options?stream=alice&option=violence"),
    Call(
        "POST",
        "/api/v1/reports",
        {"stream": "alice", "category": "VIOLENCE", "explanation": "A person is hurt.", "good_faith": True},
        keeps={"report": "id", "receipt": "status_token"},
    ),
)
# When a moderator has decided over the report.
DECIDED_CALLS = (
    Call(
        "GET",
        "/api/v1/reports/{report}?token={receipt}",
        keeps={"decision": "decision.id", "appeal_token": "decision.appeal_token"},
    ),
    Call(
        "POST",
        "/api/v1/appeals",
        {"decision": "{decision}", "token": "{appeal_token}", "text": "It is no play: I know both of them."},
    ),
)
FAILING_CALLS = (
    Call("GET", "/api/v1/streams", token="a-wrong-one"),  # noqa: S106  # no token of anything
    Call("GET", "/api/v1/keys/0000000000"),
    Call("POST", "/api/v1/keys", {"user": "Alice Smith", "labels": "studio PC"}),
)
STATUSES = {
    400: "It is not HTTP, `Host` names no host, or the body is no JSON or gives a name twice in one object.",
    401: "The token is missing or wrong. `WWW-Authenticate` says how to show one.",
    403: "The role may not; a code is needed, or not right; or a browser sent it for a page of another site, and it "
    "would change something.",
    404: "There is no such key, user, operator, live stream or channel.",
    409: "The state of the thing does not allow it: a key that is dead cannot be rotated, a name is taken.",
    410: "The channel was taken down, or its user is suspended.",
    412: "`If-Match` asks for an entity tag, and JSON has none.",
    413: "The body is too long: 32 kB on the public port, 16 kB on the admin port.",
    415: "The body has a `Content-Encoding`, or another type than JSON.",
    421: "`Host` is not one of this server's: guard against DNS rebinding (`[admin] hosts`).",
    422: "A field or parameter does not fit; `errors` names each with its place.",
    429: "The address asks for too much; `Retry-After` says when to ask again.",
    500: "A fault of the server's: `request.failed` in its log has the `X-Request-Id` of the answer.",
    503: "The key store cannot be asked, or too many bodies are being sent: try again in a few seconds.",
}


_HEALTH_PAGE = "[health of a stream](observing.md#health-of-a-stream)"
MEANINGS: dict[str, dict[str, str]] = {
    "Category": {category.value: f"In words: {title}." for category, title in TITLES.items()},
    "Keyword": {
        keyword.value: f"The Commission's keyword {keyword.value.removeprefix('KEYWORD_')}." for keyword in Keyword
    },
    "SourceType": {
        "SOURCE_ARTICLE_16": "Somebody's report.",
        "SOURCE_TRUSTED_FLAGGER": "A trusted flagger's report.",
        "SOURCE_TYPE_OTHER_NOTIFICATION": "An authority's order, among others.",
        "SOURCE_VOLUNTARY": "Nobody has reported it.",
    },
    "CaseState": {
        "open": "It waits for somebody.",
        "claimed": "A moderator looks at it.",
        "decided": "It was decided.",
    },
    "Outcome": {
        "taken_down": "It is dark everywhere.",
        "no_action": "It stays.",
    },
    "TargetState": {
        "off": "It is switched off, for good or for this broadcast.",
        "waiting": "It is on, and there is nothing to pass on.",
        "connecting": "The first connection of this broadcast is on its way.",
        "live": "The target's machine has acknowledged media in the last five seconds.",
        "reconnecting": "It was lost, and is tried again.",
        "refused": "The target has said no, and is asked again.",
        "failed": "It is tried no more in this broadcast.",
    },
    "ReportState": {
        "received": "It waits for somebody.",
        "under_review": "Somebody looks at it.",
        "decided": "It was decided.",
    },
    "AppealState": {
        "open": "It waits for somebody other than the author of the decision.",
        "upheld": "The decision stays.",
        "reversed": "The decision was undone.",
    },
    "Party": {
        "reporter": "Whoever has reported it.",
        "broadcaster": "Whoever has shown it.",
    },
    "TargetKind": {
        "channel": "All of a channel: live, past, recordings, clips and pictures.",
        "key": "A key, and the channel that it opens.",
        "recording": "One recording, with its clips.",
        "clip": "One clip.",
    },
    "BlockKind": {
        "channel": "A channel; for viewers also one recording or clip, by its id.",
        "user": "The same by its other name.",
        "key": "A key, by its id.",
        "network": "A network, or an address.",
        "country": "A country, two letters.",
        "hash": "A picture, by its PDQ hash.",
    },
    "BlockScope": {
        "publish": "It goes live no more; a channel is dark.",
        "view": "It is not shown: 451.",
    },
    "Effect": {
        "taken_down": "It is dark everywhere.",
        "blocked": "It is not shown in the order's territory.",
        "not_here": "It is of another site, or there is no such thing.",
        "impossible": "It could not be done; the detail says why.",
    },
    "KeyState": {
        "active": "It opens its channel.",
        "expired": "Its `expires_at` is past: it opens nothing.",
        "revoked": "It was killed, or replaced by another and its overlap is over: it opens nothing.",
    },
    "ImportOutcome": {
        "imported": "It is new.",
        "known": "It was there before, and stays as it is.",
    },
    "RecordingState": {
        "recording": "Media is added to it.",
        "finalizing": "Its broadcast is over, and its files are completed.",
        "uploading": "Its files are complete, and on their way to the bucket; it can be played.",
        "ready": "It is complete.",
        "partial": "It is complete but for media that a crash has cost.",
        "failed": "It ended by a fault, which `reason` names; what was written before can be played.",
        "deleted": "Its files are gone.",
    },
    "Visibility": {
        "public": "Everybody finds and sees it.",
        "unlisted": "Everybody sees it who has its address.",
        "private": "The public port does not have it.",
    },
    "ExportState": {
        "waiting": "Another one is being made.",
        "running": "It is being made.",
        "ready": "The file can be fetched.",
        "failed": "It could not be made; `reason` says why.",
    },
    "ClipState": {
        "ready": "It can be watched, from the moment at which it is made.",
        "deleted": "It is gone, by itself or with its recording.",
    },
    "Role": {
        role.value: f"Has the rights {', '.join(right for right in Right if right in RIGHTS[role])}." for role in Role
    },
    "Right": {right.value: f"The roles {', '.join(roles_with(right))} have it." for right in Right},
    "OperatorState": {
        "active": "The token works.",
        "expired": "Its `expires_at` is past: it is refused, and works again with a later one.",
        "revoked": "It was killed: it is refused.",
    },
    "Policy": {
        "public": "Everybody.",
        "signed": "Whoever shows a token.",
        "password": "Whoever types the channel's password, or shows a token.",
        "hook": "Whom the operator's service lets in.",
    },
    "Algorithm": {
        "EdDSA": "Ed25519 (RFC 8037).",
        "ES256": "ECDSA with P-256.",
        "RS256": "RSA of 2,048 bits or more.",
        "HS256": "HMAC with a secret, which signs and checks alike.",
    },
    "RevocationKind": {
        "jti": "A token, for good.",
        "uid": "What a viewer was given until then.",
        "kid": "A key, and all that was signed with it.",
        "channel": "What anybody was given for a channel or recording until then.",
    },
    "RecordingMode": {
        "off": "No broadcast is recorded.",
        "asked": "Those are for which an operator asks.",
        "all": "Every broadcast is.",
    },
    "UserState": {
        "active": "The keys of the user open the channel.",
        "suspended": "No key does, and the channel answers viewers with 410, until the user is restored.",
    },
    "HealthStatus": {
        "good": "Nothing is wrong that viewers notice.",
        "ok": "The worst finding is a warning.",
        "bad": "There is an error.",
        "no_data": "Nothing can be played yet, or the publisher is away.",
    },
    "Severity": {
        "error": "Viewers do not see or hear it as it should be.",
        "warning": "Some of them may not, or it is later than it could be.",
        "info": "They do not notice.",
    },
    "FindingSource": {
        "report": "Somebody has reported it.",
        "scan": "The machine was looking at what nobody has reported.",
    },
    "HealthCode": {code.value: f"See {_HEALTH_PAGE}." for code in HealthCode},
}
"""What the values of an enumeration mean; one that is missing here is a fault of the build."""


# -- asking ---------------------------------------------------------------------------------------


class _Made:
    """What answers had that later requests name."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def fill(self, text: str) -> str:
        """Put it in place of its names."""
        if "code}" in text:
            secret = base64.b32decode(self._known["secret"])
            step = int(SystemClock().now().timestamp()) // STEP_S
            # A code is good once, and that of the step to come is good already.
            self._known |= {"code": code_of(secret, step), "next_code": code_of(secret, step + 1)}
        for name, value in self._known.items():
            text = text.replace("{" + name + "}", value)
        return text

    def keep(self, call: Call, answer: Any) -> None:
        """Note what the answer to a call has."""
        for name, place in call.keeps.items():
            value = answer
            for step in place.split("."):
                value = value[int(step) if step.isdigit() else step]
            self._known[name] = value


async def _read(response: aiohttp.ClientResponse, call: Call) -> Any:
    """An answer, as ``Example`` has it."""
    if call.is_event:
        return (await response.content.readuntil(b"\n\n")).decode().rstrip("\n")
    if "json" in response.content_type:
        return await response.json(content_type=None)
    if response.content_type == "text/plain":
        lines = (await response.text()).splitlines()
        return "\n".join(["...", *lines[METRICS_LINES], "..."])
    return f"(a file, {response.content_type})"


async def _ask(
    client: aiohttp.ClientSession | TestClient[web.Request, web.Application], call: Call, made: _Made, origin: str = ""
) -> tuple[Example, Any]:
    """Make a call.

    Returns:
        The example, and the whole answer.
    """
    path = made.fill(call.path)
    body = json.loads(made.fill(json.dumps(call.body)))
    headers = {"Authorization": f"Bearer {made.fill(call.token)}"} if origin else {}
    given: dict[str, Any] = {"data": call.text} if call.text else {"json": body}
    if call.text:
        headers["Content-Type"] = "text/csv"
    while True:
        async with client.request(call.method, origin + path, headers=headers, **given) as response:
            answer = await _read(response, call)
        if not call.waits or answer["state"] not in call.waits:
            break
        await asyncio.sleep(ASK_AGAIN_S)
    made.keep(call, answer)
    shown = {name: answer[name] for name in call.shows} if call.shows else answer
    return Example(call.method, path, body, response.status, shown, text=call.text, is_whole=not call.shows), answer


async def ask_admin(calls: Iterable[Call], origin: str, streams: Streams) -> tuple[list[Example], dict[str, Any]]:
    """Make the calls of the admin API, in order.

    Returns:
        The examples, and the OpenAPI document.
    """
    examples: list[Example] = []
    ids: list[str] = []
    made = _Made()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as client:
        for call in calls:
            example, answer = await _ask(client, call, made, origin)
            if "stream_key" in answer:
                ids.append(answer["id"])
                # A revocation closes what runs on its key.
                streams.live["alice"] = replace(summary("alice"), key_id=ids[0])
            if call.path.endswith("/keys/import"):
                ids.append(answer["keys"][0]["id"])
            if not call.is_hidden:
                examples.append(_as_fixed(example, ids))
        async with client.get(f"{origin}/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            return examples, await response.json()


async def ask_public(calls: Sequence[Call], decided: Sequence[Call] = ()) -> tuple[list[Example], dict[str, Any]]:
    """Make the calls of the public API, over one live channel.

    Args:
        calls: Made first.
        decided: Made when the report of one of them is decided.

    Returns:
        The examples, and the OpenAPI document.
    """
    clock, metrics = ManualClock(), Metrics()
    variant = SimpleNamespace(
        codecs=("avc1.64001f", "mp4a.40.2"), width=1280, height=720, frame_rate_millihertz=30_000, bandwidth=2_842_476
    )
    rendition = SimpleNamespace(name="main", variant_stream=lambda: variant)
    channel = SimpleNamespace(
        name="alice",
        live_since=LIVE_SINCE,
        is_live=True,
        media_at=clock.monotonic(),
        presentation=SimpleNamespace(listed=[rendition]),
        push_codecs=variant.codecs,
        viewers={"hls": 11, "flv": 1, "mp4": 0},
    )
    channels = cast(
        "PublicChannels",
        SimpleNamespace(
            gate=None,
            policy=lambda _: "public",
            listed=lambda: [channel],
            find=lambda name: channel if name == "alice" else Absence.UNKNOWN,
        ),
    )
    keys = cast("KeyVerifier", FakeKeys())
    directory = tempfile.TemporaryDirectory()
    store = KeyStore(f"sqlite+aiosqlite:///{directory.name}/streamd.db")
    await store.start()
    _record(Path(directory.name) / RECORDING.path)
    index = RecordingIndex(store.database)
    await index.save(RECORDING)
    recorder = Recorder(RecorderOptions(RecordingMode.ALL, Path(directory.name)), index, clock)
    vod = VodRoutes(
        recorder=recorder,
        is_taken_down=lambda _: False,
        clock=clock,
        metrics=metrics,
        timeouts=lambda: MediaTimeouts(viewer_write_timeout_s=TIMEOUT_S),
    )
    clips = Clips(
        ClipOptions(ClipMaker.VIEWERS),
        recorder=recorder,
        index=ClipIndex(store.database, index),
        clock=clock,
        tell=unheard,
    )
    house = await ModerationHouse(store).start()
    house.viewers.live["alice"] = 12
    app = public_app(
        channels=channels,
        media=MediaRoutes(
            channels=channels, clock=clock, metrics=metrics, timeouts=MediaTimeouts(viewer_write_timeout_s=TIMEOUT_S)
        ),
        vod=vod,
        clips=ClipRoutes(clips, vod, recorder, clock),
        recorded=RecordedLists(recorder, lambda _: False, clock),
        pages=Pages(),
        obs=ObsDesk(
            keys, ObsOptions(ladder=[Rung.parse("720p@3000")], rtmp_urls=["rtmp://localhost/live"]), metrics, TIMEOUT_S
        ),
        reports=ReportRoutes(house.moderation, ReportMenu()),
        proxies=TrustedProxies(),
        port=port_of(clock=clock, metrics=metrics),
        clock=clock,
    )
    examples: list[Example] = []
    client: TestClient[web.Request, web.Application]
    async with TestClient(TestServer(app)) as client:
        made = _Made()
        for calls_then in (calls, decided):
            if calls_then is decided and decided:
                await house.decide((await house.case()).id, outcome=Outcome.NO_ACTION)
            examples += [_as_fixed((await _ask(client, call, made))[0], []) for call in calls_then]
        async with client.get("/api/v1/openapi.json") as response:
            document = await response.json()
    await house.moderation.close()
    await recorder.close()
    await store.close()
    directory.cleanup()
    return examples, document


def _record(path: Path) -> None:
    """Write the files of the recording: two minutes of what clips are made of."""
    writer = new_writer(RecordingFolder(path))
    writer.set_header(MAIN, b"ftyp+moov", 2)
    for number in range(60):
        append(writer, b"media", at_ms=2000 * number)
    writer.finish(LIVE_SINCE)
    writer.close()


def _record_media(path: Path) -> None:
    """Write files that can be exported."""
    media = fragmented_media(2)
    writer = new_writer(RecordingFolder(path))
    writer.set_header(MAIN, media.header, 1)
    for second, fragment in enumerate(media.fragments):
        append(writer, fragment, seconds=1, at_ms=1000 * second)
    writer.finish(LIVE_SINCE)
    writer.close()


def _as_fixed(example: Example, ids: list[str]) -> Example:
    """An example with fixed texts in place of those that differ from one run to the next."""
    answer, body = (json.loads(_fixed(json.dumps(each), ids)) for each in (example.answer, example.body))
    return replace(example, path=_fixed(example.path, ids), answer=answer, body=body)


def _fixed(text: str, ids: list[str]) -> str:
    for known, fixed in zip(ids, KEY_IDS, strict=False):
        text = text.replace(known, fixed)
    text = SECRET.sub(r"\1...", text)
    text = PRIVATE_KEY.sub(r"\1...\2", text)
    text = VIEWER_TOKEN.sub("eyJ...", text)
    for position, found in enumerate(dict.fromkeys(PLAYBACK_KEY.findall(text))):
        text = text.replace(found, PLAYBACK_KEYS[position])
    text = SESSION.sub(r"\1...", text)
    text = CLIP.sub(CLIP_ID, text)
    text = RECEIPT.sub(r"\1_...", text)
    text = REFERENCE.sub('"reference": "7F3K-92"', text)
    text = FINDING.sub("fnd_01kc8c5d6r4ts5x9p9z1y2n3m4", text)
    text = HASH.sub(lambda found: found[1] + "9f" * 32, text)
    text = EXPORT_BYTES.sub('"bytes": 31250000, "expected_bytes": 31250000', text)
    text = EVIDENCE_BYTES.sub(r"\g<1>48213", text)
    text = AUTHENTICATOR.sub(r"\1...", text)
    text = CODE.sub(r"\g<1>492039", text)
    text = MODERATION.sub(lambda found: f"{found[1]}_01kc8c5d6r4ts5x9p9z1y2n3m4", text)
    text = re.sub(r'"(took_ms|took_s)": [0-9.e-]+', lambda found: f'"{found[1]}": 3.2', text)
    # Within the JSON of a row's reason.
    text = re.sub(r'(seconds\\+":)\d+', r"\g<1>3", text)
    text = re.sub(r"Effect given: (.*), .* after receipt", r"Effect given: \1, 3.2 s after receipt", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC", "2026-11-30 12:00:00 UTC", text)
    text = re.sub(r'"(application_date|content_date)": "[0-9-]+"', r'"\1": "2026-11-30"', text)
    return TIME.sub(lambda found: found[0] if found[0].startswith("2100") else "2026-11-30T12:00:00Z", text)


# -- writing --------------------------------------------------------------------------------------


@dataclass(slots=True)
class ReferencePage:
    """One API as Markdown.

    Args:
        document: Its OpenAPI document.
        examples: By method and path, as far as there are some.
        origin: Where curl finds it.
        has_token: Whether it wants one.
    """

    document: dict[str, Any]
    examples: list[Example]
    origin: str
    has_token: bool
    lines: list[str] = field(default_factory=list)

    def write(self) -> list[str]:
        """Write all calls, then the objects that they take and answer."""
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                self._call(method.upper(), path, operation)
        self.lines += ["", f"### Objects of the {self.document['info']['title'].removeprefix('streamd ')}", ""]
        for name, schema in sorted(self.document["components"]["schemas"].items()):
            if "enum" in schema:
                self.lines += ["", f"#### {name}", "", "| value | meaning |", "|---|---|"]
                self.lines += [f"| `{value}` | {MEANINGS[name][value]} |" for value in schema["enum"]]
            if "properties" in schema:
                self.lines += ["", f"#### {name}", ""]
                if "description" in schema:
                    self.lines += [_text(schema["description"]), ""]
                self._fields(schema)
        return self.lines

    def _call(self, method: str, path: str, operation: dict[str, Any]) -> None:
        self.lines += ["", f"### {method} {path}", "", f"{operation['summary']}.", ""]
        if "description" in operation:
            self.lines += [_text(operation["description"]), ""]
        if operation.get("parameters"):
            self.lines += ["| parameter | in | type | meaning |", "|---|---|---|---|"]
            for each in operation["parameters"]:
                meaning = _text(each.get("description", ""))
                self.lines.append(f"| `{each['name']}` | {each['in']} | {self._type(each['schema'])} | {meaning} |")
            self.lines.append("")
        body = operation.get("requestBody")
        if body:
            content = next(iter(body["content"].values()))
            needed = "" if body.get("required") else ", which may be left out"
            self.lines += [f"Body: {self._type(content['schema'])}{needed}.", ""]
        for status, response in operation["responses"].items():
            media_type, content = next(iter(response["content"].items()))
            if media_type == "application/json":
                self.lines += [f"Answer {status}: {self._type(content['schema'])}.", ""]
            elif status == "200":
                self.lines += [f"Answer {status}: `{media_type}`.", ""]
        errors = [status for status, each in operation["responses"].items() if not _is_success(each)]
        self.lines += [f"Errors: {', '.join(errors)}.", ""]
        for example in self.examples:
            if example.method == method and _is_of(path, example.path):
                self._example(example)

    def _example(self, example: Example) -> None:
        option = "" if example.method == "GET" else f"-X {example.method} "
        token = '-H "Authorization: Bearer $TOKEN" ' if self.has_token else ""
        body = f"-H 'Content-Type: application/json' -d '{json.dumps(example.body)}' " if example.body else ""
        if example.text:
            body = f"-H 'Content-Type: text/csv' --data-binary $'{json.dumps(example.text)[1:-1]}' "
        is_json = not isinstance(example.answer, str)
        answer = json.dumps(example.answer, indent=2) if is_json else example.answer
        self.lines += ["```sh", f"curl {option}{token}{body}'{self.origin}{example.path}'", "```", ""]
        part = "" if example.is_whole else ", in part"
        self.lines += [f"{example.status}{part}:", "", "```json" if is_json else "```text", answer, "```", ""]

    def _fields(self, schema: dict[str, Any]) -> None:
        self.lines += ["| field | type | meaning |", "|---|---|---|"]
        required = schema.get("required", [])
        for name, each in schema["properties"].items():
            default = ""
            if name not in required and "default" in each:
                default = f"; default `{json.dumps(each['default'])}`"
            self.lines.append(f"| `{name}` | {self._type(each)}{default} | {_text(each.get('description', ''))} |")

    def _type(self, schema: dict[str, Any]) -> str:
        """A type with its bounds, for a table's cell."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            target = self.document["components"]["schemas"][name]
            is_described = "enum" in target or "properties" in target
            return f"[{name}](#{name.lower()})" if is_described else self._type(target)
        if "enum" in schema:
            return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
        if "const" in schema:
            return f"`{schema['const']}`"
        if "anyOf" in schema:
            return " or ".join(self._type(choice) for choice in schema["anyOf"])
        kind: str = schema.get("type", "any value")
        match kind:
            case "array":
                return f"list of {self._type(schema.get('items', {}))}"
            case "string" if schema.get("format") == "date-time":
                return "time (RFC 3339)"
            case "object" if "additionalProperties" in schema and schema["additionalProperties"] is not False:
                values = schema["additionalProperties"]
                return f"object of {self._type(values)}" if isinstance(values, dict) else "object"
            case _:
                return kind + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    said = []
    if "minimum" in schema or "maximum" in schema:
        said.append(f"{schema.get('minimum', '')} to {schema.get('maximum', '')}".strip())
    if "maxLength" in schema:
        said.append(f"at most {schema['maxLength']} characters")
    if "pattern" in schema:
        said.append("`" + schema["pattern"].replace("|", "\\|") + "`")
    return f" ({', '.join(said)})" if said else ""


def _text(description: str) -> str:
    """A docstring's text in a line of Markdown."""
    return " ".join(description.replace("``", "`").split()).replace("|", "\\|")


def _is_success(response: dict[str, Any]) -> bool:
    return not any(media_type in ("application/problem+json", "text/plain") for media_type in response["content"]) or (
        response["description"] == "OK"
    )


def _is_of(template: str, path: str) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", "[^/?]+", re.escape(template))
    return re.fullmatch(pattern + r"(\?.*)?", path) is not None


INTRODUCTION = """\
# API reference

Made from the programs' own OpenAPI documents by `python -m docs.reference`, which makes the requests below of the
running APIs and writes what they answer; a test makes it anew. [APIs](api.md) says what both have in common. A server
describes itself at `/openapi.json` on the admin port and at `/api/v1/openapi.json` on the public port.

Times are RFC 3339 with a zone; answers are in UTC. A field that an object does not know is an error (422). A list has
at most `limit` items: ask for the rest with `after`, set to the `next_after` of the page before; null is the last page.

## Errors

Every error is an [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem; those of `/api/v1/obs/config` for OBS's
own request are a line of text.

| status | when |
|---|---|
"""


def page() -> str:
    """Ask both APIs, and write the page."""
    streams = Streams()
    streams.live["bob"] = summary("bob", "x4m7q2d9ks")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _record(directory / "recordings" / RECORDING.path)
        _record_media(directory / "recordings" / EXPORTED.path)
        recordings = [RECORDING, EXPORTED]
        host, port = stack.enter_context(
            run_admin_server(
                directory, streams, TOKEN, "rtmp://live.example.org/live", recordings, is_reported=True, is_shown=True
            )
        )
        origin = f"http://{host}:{port}"
        failing, _ = asyncio.run(ask_admin(FAILING_CALLS, origin, Streams()))
        admin, admin_document = asyncio.run(ask_admin(ADMIN_CALLS, origin, streams))
    public, public_document = asyncio.run(ask_public(PUBLIC_CALLS, DECIDED_CALLS))
    lines = [f"| {status} | {meaning} |" for status, meaning in STATUSES.items()]
    for example in failing:
        body = f" with `{json.dumps(example.body)}`" if example.body else ""
        why = " with a wrong token" if example.status == HTTPStatus.UNAUTHORIZED else ""
        lines += ["", f"`{example.method} {example.path}`{body}{why}:", ""]
        lines += ["```json", json.dumps(example.answer, indent=2), "```"]
    lines += ["", "## Public API", "", "On the viewers' port, 8080 unless configured otherwise. No token."]
    lines += ReferencePage(public_document, public, "http://localhost:8080", has_token=False).write()
    lines += [
        "",
        "## Admin API",
        "",
        "On `127.0.0.1:8081` unless configured otherwise, with the admin token as `TOKEN`.",
    ]
    lines += ReferencePage(admin_document, admin, "http://127.0.0.1:8081", has_token=True).write()
    text = INTRODUCTION + "\n".join(lines) + "\n"
    return re.sub(r"\n{3,}", "\n\n", text)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.exit(0)
