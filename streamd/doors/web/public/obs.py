"""``POST /api/v1/obs/config``: sends OBS the settings of its encoders (obs_config.py)."""

from __future__ import annotations

import asyncio
import html
import logging
from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import ValidationError

from streamd.doors.web.fields import media_type
from streamd.doors.web.json_api import InvalidRequestError, parse_json
from streamd.doors.web.openapi import JSON_TYPE, Operation
from streamd.doors.web.refusals import may_tell
from streamd.errors import KeyRejectedError, PublishError, StoreUnavailableError
from streamd.formats.address import source_of
from streamd.formats.rtmp.stream_name import find_stream_key
from streamd.services.keys.admission import Denial
from streamd.services.keys.stream_key import StreamKey
from streamd.services.obs.ladder import GoLiveConfig, NoRungFitsError, PostData, go_live_config, refusal

if TYPE_CHECKING:
    from streamd.services.keys.verifier import KeyVerifier
    from streamd.services.metrics import Metrics
    from streamd.services.obs.ladder import ObsOptions

log = logging.getLogger(__name__)

PATH = "/api/v1/obs/config"


class ObsDesk:
    """Answers OBS's GetClientConfiguration.

    It is on the public port, which broadcasters reach. Only the holder of a good key gets the settings: they are no
    secret, but OBS's user learns of a wrong key before all encoders have started. Wrong keys count as they do over
    RTMP, so this is no second way to guess.

    Args:
        keys: Finds the user of a stream key.
        options: The operator's ladder.
        metrics: Counted into.
        verify_timeout_s: Seconds for the key store's answer.
    """

    def __init__(self, keys: KeyVerifier, options: ObsOptions, metrics: Metrics, verify_timeout_s: float) -> None:
        self._keys = keys
        self._metrics = metrics
        self.configure(options, verify_timeout_s)

    def configure(self, options: ObsOptions, verify_timeout_s: float) -> None:
        """Take another ladder, other limits or another time for the key store from now on."""
        self._options = options
        self._verify_timeout_s = verify_timeout_s

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_post(PATH, self.get_obs_config)

    def operation(self) -> Operation:
        """The call, with its input, its answer and its errors."""
        return Operation(
            "POST", PATH, self.get_obs_config, GoLiveConfig,
            body=PostData, plain_problems=(400, 404, 415, 422, 503), needs_token=False, refuses_misfits=False,
        )  # fmt: skip

    async def get_obs_config(self, request: web.Request) -> web.Response:
        """Send OBS the settings of its encoders for several qualities.

        It is what OBS posts and what it reads (GetClientConfiguration). A refusal that OBS's user is to read has status
        200, too: OBS looks into no other answer.
        """
        if not self._options.ladder:
            raise web.HTTPNotFound(text="This server has no ladder for OBS.")
        if media_type(request) != JSON_TYPE:
            # A page of another site may make a browser send other types without a preflight.
            raise web.HTTPUnsupportedMediaType(text="Send the body as application/json.")
        try:
            posted = parse_json(await request.read(), PostData)
        except InvalidRequestError as exc:
            raise web.HTTPBadRequest(text=f"{exc}.") from exc
        except ValidationError as exc:
            # The body is not repeated: a stream key is in it.
            raise web.HTTPUnprocessableEntity(text="The body is not what OBS posts.") from exc
        stream_key = find_stream_key("", posted.authentication.get_secret_value(), "", StreamKey.has_form)
        peer = request.remote or ""
        try:
            async with asyncio.timeout(self._verify_timeout_s):
                admission = await self._keys.verify(stream_key, peer)
        except KeyRejectedError as error:
            # A guesser may send thousands a minute; the audit log counts them.
            if error.reason != Denial.RATE_LIMITED and may_tell(request, source_of(peer)):
                log.info("obs_config.refused", extra={"peer": peer, "reason": error.reason, "key_id": error.key_id})
            return _answer(refusal(html.escape(error.description)))
        except (StoreUnavailableError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                self._metrics.limit_hits_total.labels("verify_timeout_s").inc()
            if may_tell(request, "store"):
                log.warning("obs_config.failed", extra={"peer": peer, "reason": str(error) or "no answer in time"})
            raise web.HTTPServiceUnavailable(text=PublishError.description) from error
        try:
            config = go_live_config(
                self._options, posted.preferences, posted.client.supported_encoders, admission.limits
            )
        except NoRungFitsError as error:
            if may_tell(request, admission.key_id):
                extra = {"peer": peer, "key_id": admission.key_id, "allowed": str(error)}
                log.info("obs_config.no_rung_fits", extra=extra)
            return _answer(
                refusal(
                    f"Several video tracks are more than you may send here: {error}. Switch off Enable Multitrack "
                    "Video (Settings, Stream) and send one track within that, or ask for more."
                )
            )
        if may_tell(request, admission.key_id):
            log.info("obs_config.sent", extra={"peer": peer, "key_id": admission.key_id})
        return _answer(config)


def _answer(config: GoLiveConfig) -> web.Response:
    return web.json_response(config.as_json(), headers={"Cache-Control": "no-store"})
