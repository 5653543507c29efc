"""The parts of floor 3: the listeners for encoders, viewers and operators, and the sender of our own requests."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Protocol

from streamd import __version__
from streamd.doors.ingest.listener import RtmpListener
from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.doors.outgoing.http_sender import HttpSender
from streamd.doors.web.session_file import SessionFile
from streamd.process.admin_door import AdminDoor
from streamd.process.binding import bound, cannot_bind, try_address
from streamd.process.guards import Guards
from streamd.process.options import connection_options, ingest_options, listener_limits, loop_shares
from streamd.process.public_door import PublicDoor
from streamd.process.readiness import Readiness

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamd.errors import PublishError
    from streamd.process.config import Config, ListenAddress
    from streamd.process.services import Services


# In the data directory.
SESSIONS_NAME = "sessions.json"


class SharedDoors(Protocol):
    """A worker's part of the ports that several share."""

    async def open_doors(
        self, config: Config, guards: Guards, public: PublicDoor, admin: AdminDoor, rtmp: RtmpListener, token: str
    ) -> Addresses:
        """Open the doors that this worker has; returns where the server's are."""


def outgoing(config: Config) -> HttpSender:
    """The sender of requests that are ours: to the internet, and to the networks that the operator allows."""
    allowed = [ip_network(text) for text in config.webhooks.allow_networks]
    return HttpSender(AddressGuard(allowed), f"streamd/{__version__}")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the listeners are bound, as ``host:port``; empty where one is off."""

    rtmp: str
    rtmps: str
    http: str
    admin: str


class Doors:
    """Floor 3 of one server.

    Args:
        config: All of the configuration.
        services: Asked by the doors.
        not_ready_because: Why nobody should be let in any more; None while nothing speaks against it.
        own_name: Names a file of the data directory that is this process's own.

    Attributes:
        addresses: Where they are bound; empty before ``open``.
    """

    def __init__(
        self,
        config: Config,
        services: Services,
        not_ready_because: Callable[[], str | None],
        own_name: Callable[[str], str] = str,
    ) -> None:
        self._config = config
        self._services = services
        machine = services.machine
        self._guards = Guards(config, machine.descriptors, services.metrics, machine.accounts)
        self._sessions = SessionFile(config.data_dir / own_name(SESSIONS_NAME), services.clock)
        self._public = PublicDoor(config, services, self._sessions)
        self._rtmp = RtmpListener(
            keys=services.verifier,
            registry=services.registry,
            clock=services.clock,
            metrics=services.metrics,
            options=ingest_options(config),
            connection_options=connection_options(config),
            limits=listener_limits(config, services.machine.descriptors.encoders),
            shares=loop_shares(config),
            gate=services.gate,
            decider=services.decider,
        )
        readiness = Readiness(services, self._rtmp, config.data_dir, not_ready_because)
        self._admin = AdminDoor(
            config,
            services,
            public_origin=self._public_origin,
            readiness=readiness,
            sessions=self._sessions,
        )
        services.machine.accounts.add(self._rtmp)
        self.addresses = Addresses("", "", "", "")

    async def open(self, token: str, seat: SharedDoors | None = None) -> None:
        """Bind every listener; RTMP last, so that what is published can be seen.

        Args:
            token: Opens the admin port.
            seat: This process is one of several, which share ports; None where it has them to itself.

        Raises:
            StartError: A port is in use, or a certificate does not load; ``close`` what is bound.
        """
        rtmp = self._config.rtmp
        if seat is not None:
            self.addresses = await seat.open_doors(
                self._config, self._guards, self._public, self._admin, self._rtmp, token
            )
            return
        self.addresses = Addresses(
            http=await self._public.open(self._guards),
            admin=await self._admin.open(token),
            rtmp=await self._open_rtmp("rtmp.listen", rtmp.listen, alpn=None),
            rtmps=await self._open_rtmp("rtmp.tls_listen", rtmp.tls_listen, alpn=()),
        )

    def configure(self, config: Config) -> None:
        """Take from a configuration that was read again what can be taken while they are open."""
        self._config = config
        descriptors = self._services.machine.descriptors
        self._rtmp.configure(
            ingest_options(config),
            connection_options(config),
            listener_limits(config, descriptors.encoders),
            loop_shares(config),
        )
        self._guards.configure(config, descriptors)
        self._public.configure(config)
        self._admin.configure(config)

    def check_deadlines(self) -> None:
        """Close what has used up its time; called about once a second."""
        self._rtmp.check_deadlines()
        self._public.check_deadlines()
        self._admin.check_deadlines()

    def tick(self) -> None:
        """Do what else is due once a second, after the services' turn."""
        self._admin.tick()
        self._guards.look()

    async def save(self) -> None:
        """Keep for the next server who is signed in, if that has changed; called about once a second."""
        await self._sessions.save()

    def stop_accepting_encoders(self) -> None:
        """Take no new RTMP connection; open ones go on, and so do all the other ports."""
        self._rtmp.stop_accepting()

    async def close_encoders(self, error: PublishError) -> None:
        """Close every RTMP connection and wait until they are gone.

        Args:
            error: The answer that publishers get.
        """
        await self._rtmp.close(error)

    async def close(self, timeout_s: float) -> None:
        """Answer what is asked, and close every port.

        Args:
            timeout_s: Seconds for viewers to take their answers.
        """
        self._rtmp.stop_accepting()
        await self._public.close(timeout_s)
        await self._admin.close()
        await self._sessions.save(is_last=True)

    async def _open_rtmp(self, name: str, listen: ListenAddress | None, alpn: Sequence[str] | None) -> str:
        if listen is None:
            return ""
        rtmp = self._config.rtmp
        guard = self._guards.make("rtmp", rtmp, rtmp.trusted_proxies, alpn)
        try:
            try_address(listen)
            return bound(listen, await self._rtmp.start(listen.host or None, listen.port, guard))
        except OSError as exc:
            raise cannot_bind(name, listen, exc) from exc

    def _public_origin(self, hostname: str) -> str:
        """Where a browser that reached the admin port by this host name reaches the public port."""
        config = self._config
        if config.http.public_url:
            return config.http.public_url
        # The port that is bound, not the one that was asked for: that may be 0.
        _, _, port = self.addresses.http.rpartition(":")
        return f"{'https' if config.http.tls_cert else 'http'}://{hostname}:{port}"
