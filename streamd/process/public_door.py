"""The public port: media through the thin door, everything else through aiohttp behind it."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from streamd.doors.delivery.channels import PublicChannels
from streamd.doors.delivery.door import MediaDoor
from streamd.doors.delivery.listener import listen as listen_for_viewers
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.delivery.viewer_connection import ViewerConnection
from streamd.doors.web.port import Port
from streamd.doors.web.protocol import WebProtocol
from streamd.doors.web.public.app import public_app
from streamd.doors.web.public.clips import ClipRoutes
from streamd.doors.web.public.dvr import DvrRoutes
from streamd.doors.web.public.locked_pages import LockedPages
from streamd.doors.web.public.media import MediaRoutes
from streamd.doors.web.public.obs import ObsDesk
from streamd.doors.web.public.own_clips import OwnClipDesk
from streamd.doors.web.public.own_recordings import OwnRecordingDesk
from streamd.doors.web.public.own_targets import OwnTargetDesk
from streamd.doors.web.public.pages import Pages
from streamd.doors.web.public.posters import PosterRoutes
from streamd.doors.web.public.recorded_lists import RecordedLists
from streamd.doors.web.public.studio import Studio
from streamd.doors.web.public.vod import VodRoutes
from streamd.doors.web.public.vod_pictures import VodPictures
from streamd.doors.web.public.web_entrance import WebEntrance
from streamd.process.binding import bound, cannot_bind, try_address
from streamd.process.options import door_options, media_timeouts, port_limits, studio_options
from streamd.services.recording.clip_records import ClipMaker
from streamd.services.recording.recording_id import is_clip_id

if TYPE_CHECKING:
    from streamd.doors.delivery.door import HandOn
    from streamd.doors.web.assets import StaticFiles
    from streamd.doors.web.session_file import SessionFile
    from streamd.process.config import Config, ListenAddress
    from streamd.process.guards import Guards
    from streamd.process.moderation_doors import PublicModeration
    from streamd.process.services import Services

log = logging.getLogger(__name__)


class PublicDoor:
    """The port that viewers and broadcasters reach over HTTP.

    Args:
        config: All of the configuration.
        services: Asked by its routes.
        sessions: Keeps those of the studio for the next server.
    """

    def __init__(self, config: Config, services: Services, sessions: SessionFile) -> None:
        self._config = config
        self._services = services
        self._sessions = sessions
        admissions = services.verifier.admissions
        gate = services.playback.gate
        self._channels: PublicChannels
        if services.cluster is not None:
            self._channels = services.cluster.channels(admissions.is_dark, admissions.is_listed, gate)
        else:
            self._channels = PublicChannels(services.registry, admissions.is_dark, admissions.is_listed, gate)
        self._entrance = WebEntrance(services.playback.gate, services.playback.hook)
        self._port = Port("public", services.clock, services.metrics, port_limits(config))
        self._obs = ObsDesk(services.verifier, config.obs_options, services.metrics, config.limits.verify_timeout_s)
        self._media = MediaRoutes(
            channels=self._channels,
            clock=services.clock,
            metrics=services.metrics,
            timeouts=media_timeouts(config),
            entrance=self._entrance,
            is_preview=services.previews.is_good,
        )
        self._door = MediaDoor(
            channels=self._channels,
            clock=services.clock,
            metrics=services.metrics,
            web_handler=self._web_handler,
            options=door_options(config, services.machine.descriptors),
            is_preview=services.previews.is_good,
        )
        services.machine.accounts.add(self._door)
        self._runner: web.AppRunner | None = None

    async def open(self, guards: Guards, shared: ListenAddress | None = None) -> str:
        """Listen for viewers.

        Args:
            guards: Has the certificate, and believes the proxies.
            shared: The address on which other workers listen too; None where this process has one to itself.

        Returns:
            The address that is bound.

        Raises:
            StartError: It cannot be bound.
        """
        http = self._config.http
        self._runner = web.AppRunner(
            self._app(),
            handle_signals=False,
            shutdown_timeout=self._config.limits.drain_timeout_s,
            # A waiting request whose viewer has left is forgotten.
            handler_cancellation=True,
        )
        await self._runner.setup()
        guard = guards.make("http", http, http.trusted_proxies if http.proxy_protocol else (), alpn=("http/1.1",))
        listen = shared or http.listen
        try:
            try_address(listen)
            address = await listen_for_viewers(
                self._door, listen.host or None, listen.port, guard, shares_port=shared is not None
            )
            return bound(listen, address)
        except OSError as exc:
            raise cannot_bind("http.listen", listen, exc) from exc

    def hand_on_to(self, hand_on: HandOn) -> None:
        """Have the first worker answer what is no request for media."""
        self._door.hand_on_to(hand_on)

    def viewer_connection(self) -> ViewerConnection:
        """The protocol of a connection that another worker hands on."""
        return ViewerConnection(self._door)

    def configure(self, config: Config) -> None:
        """Take other limits."""
        self._config = config
        self._door.configure(door_options(config, self._services.machine.descriptors))
        self._media.timeouts = media_timeouts(config)
        self._port.configure(port_limits(config))
        self._obs.configure(config.obs_options, config.limits.verify_timeout_s)

    def check_deadlines(self) -> None:
        """Close what has used up its time; called about once a second."""
        self._door.check_deadlines()

    async def close(self, timeout_s: float) -> None:
        """Answer what is asked, and close.

        Args:
            timeout_s: Seconds for viewers to take their answers.
        """
        await self._door.close(timeout_s)
        if self._runner is not None:
            await self._runner.cleanup()

    def _is_hidden(self, recorded_id: str) -> bool:
        """Whether a recording or clip was taken down by itself."""
        rooms = self._services.moderation
        return rooms is not None and recorded_id in rooms.enforcement.hidden

    def _more_pages(self) -> dict[str, str]:
        """What the law wants to be found from the first page."""
        moderation = self._config.moderation
        if not moderation.enabled:
            return {}
        return {"Contact": "legal"} | ({"Transparency": "transparency"} if moderation.transparency else {})

    def _moderation(self, files: StaticFiles) -> PublicModeration | None:
        """Pages and calls about what is reported and decided; None where moderation is off."""
        services = self._services
        if services.moderation is None:
            return None
        from streamd.process.moderation_doors import public_moderation

        made = public_moderation(services.moderation, files, services.clock, lambda: self._config)
        services.machine.accounts.add_store(lambda: made.transparency.held_bytes)
        return made

    def _web_handler(self) -> WebProtocol:
        assert self._runner is not None, "opened"
        server, port = self._runner.server, self._port
        assert server is not None, "set up"
        idle_s = self._config.limits.viewer_idle_timeout_s
        return WebProtocol(server, port.refusals, port.budget, idle_s, port.turns)

    def _app(self) -> web.Application:
        config, services = self._config, self._services
        kept = services.recordings
        root = urlsplit(config.http.public_url).path
        pages = Pages(
            config.http.public_url,
            has_posters=config.http.posters,
            clip_s=config.clips.max_s if ClipMaker(config.clips.who).may(ClipMaker.VIEWERS) else 0,
            has_list=config.http.list,
            is_listed=self._channels.is_listed,
            takes_reports=services.moderation is not None,
            more=self._more_pages(),
        )
        if not pages.has_player:
            log.warning(
                "player.missing",
                extra={"detail": "built without hls.js: browsers that play HLS themselves play, others are told so"},
            )
        posters = services.posters
        own_recordings = OwnRecordingDesk(kept.recorder, services.clock)
        moderation = self._moderation(pages.files)
        studio = Studio(
            keys=services.verifier,
            streams=services.registry,
            clock=services.clock,
            files=pages.files,
            options=studio_options(config),
            recordings=own_recordings,
            clips=OwnClipDesk(kept.clips, kept.recorder, own_recordings),
            decisions=moderation.decisions if moderation is not None else None,
            targets=OwnTargetDesk(services.restream.service, own_recordings, services.clock)
            if services.restream is not None
            else None,
        )
        vod = VodRoutes(
            recorder=kept.recorder,
            is_taken_down=services.verifier.admissions.is_dark,
            is_hidden=self._is_hidden,
            clock=services.clock,
            metrics=services.metrics,
            timeouts=lambda: self._media.timeouts,
            entrance=self._entrance,
            stored=kept.storage.stored if kept.storage is not None else None,
            root=root,
        )
        services.machine.accounts.add_store(lambda: vod.held_bytes)
        dvr = DvrRoutes(
            pasts=kept.pasts,
            recorder=kept.recorder,
            is_taken_down=services.verifier.admissions.is_dark,
            metrics=services.metrics,
            timeouts=lambda: self._media.timeouts,
            is_hidden=self._is_hidden,
            entrance=self._entrance,
        )
        services.machine.accounts.add_store(lambda: dvr.held_bytes)
        clips = ClipRoutes(kept.clips, vod, kept.recorder, services.clock, self._is_hidden)
        services.machine.accounts.add_store(lambda: clips.held_bytes)

        async def recording_of(recorded_id: str) -> tuple[str, str]:
            if is_clip_id(recorded_id):
                found = await clips.find(recorded_id)
                record = found if isinstance(found, HTTPStatus) else found[1]
            else:
                record = await vod.find(recorded_id)
            return (recorded_id, "") if isinstance(record, HTTPStatus) else (record.id, record.user)

        pages.locked = LockedPages(self._entrance, services.playback.passwords, pages.files, recording_of)
        self._sessions.keep("studio", studio)
        return public_app(
            channels=self._channels,
            media=self._media,
            posters=PosterRoutes(
                channels=self._channels, posters=posters, metrics=services.metrics, entrance=self._entrance
            )
            if posters is not None
            else None,
            vod=vod,
            recorded=RecordedLists(
                kept.recorder,
                services.verifier.admissions.is_dark,
                services.clock,
                root=root,
                gate=services.playback.gate,
                is_hidden=self._is_hidden,
            ),
            dvr=dvr,
            vod_pictures=VodPictures(vod),
            clips=clips,
            pages=pages,
            studio=studio,
            obs=self._obs,
            reports=moderation.reports if moderation is not None else None,
            report_pages=moderation.report_pages if moderation is not None else None,
            transparency=moderation.transparency if moderation is not None else None,
            proxies=TrustedProxies(config.http.trusted_proxies),
            port=self._port,
            clock=services.clock,
            public_url=config.http.public_url,
            hsts_max_age_s=config.http.hsts_max_age_s,
            key_set=services.playback.service.published,
        )
