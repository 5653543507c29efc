"""Bodies of requests as JSON: what is asked, or the documented error; what two readers would read apart is refused."""

from __future__ import annotations

import json

from pydantic import ValidationError

from streamd.doors.web.json_api import InvalidRequestError, parse_json
from streamd.doors.web.models.keys import IssueRequest
from streamd.doors.web.models.studio import KeyShown
from streamd.doors.web.models.users import UserChange
from streamd.services.obs.ladder import PostData

MODELS = (IssueRequest, KeyShown, UserChange, PostData)


def seeds() -> list[bytes]:
    return [
        b'{"user":"alice","label":"x","expires_at":"2030-01-01T00:00:00Z"}',
        b'{"stream_key":"sk_x"}',
        b'{"state":"suspended","reason":"x","limits":{"video_bitrate_kbps":100}}',
        b'{"authentication":"k","preferences":{"canvases":[{"width":1,"height":1,"framerate":{"numerator":60,'
        b'"denominator":1}}]},"client":{"supported_codecs":["h264"]}}',
        b'{"user":"a","\\u0075ser":"b"}',
        b'{"user":"\\ud800"}',
        b'{"user":NaN,"x":1e999,"y":' + b"9" * 400 + b"}",
        b"[" * 300 + b"]" * 300,
        b'{"a":' * 150 + b"1" + b"}" * 150,
    ]


def run(data: bytes) -> None:
    """Args: data: A body."""
    for model in MODELS:
        try:
            parse_json(data, model)
        except InvalidRequestError as exc:
            assert str(exc).isprintable()
        except ValidationError:
            continue
        else:
            # Written again from what the last reader makes of it, it is the same.
            assert parse_json(json.dumps(json.loads(data)).encode(), model) == parse_json(data, model)
