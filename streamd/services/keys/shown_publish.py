"""What a publisher showed, apart from any key: for a service that decides by its own accounts."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamd.formats.rtmp.stream_name import trim_slips


@dataclass(frozen=True, slots=True)
class ShownPublish:
    """A publisher's words: any part of them may be the secret, so none of them is ever logged."""

    app: str = field(repr=False)
    """Path of the server's URL, without a query: ``live``."""
    name: str = field(repr=False)
    """Path behind the app, without a query: ``alice``; slashes may be in it."""
    query: str = field(repr=False)
    """All that stood behind ``?``: ``key=secret``; empty without one."""
    tc_url: str = field(repr=False)
    """The server's URL as the encoder has it."""
    publishing_type: str
    address: str
    """IP address it came from."""
    encoder: str
    """Name that the encoder gives itself."""

    @classmethod
    def of(
        cls, *, app: str, stream_name: str, tc_url: str, publishing_type: str, address: str, encoder: str
    ) -> ShownPublish:
        """Take apart what ``connect`` and ``publish`` said.

        Args:
            app: As in ``connect``; a query may stand in it.
            stream_name: As in ``publish``; empty where all of it was typed as the server.
            tc_url: As in ``connect``.
            publishing_type: As in ``publish``.
            address: IP address it came from.
            encoder: Name that the encoder gives itself.
        """
        app, _, app_query = trim_slips(app).partition("?")
        name, _, name_query = trim_slips(stream_name).partition("?")
        app, name = app.strip("/"), name.strip("/")
        if not name:
            # rtmp://host/live/alice typed as the server, or rtmp://host/alice.
            app, _, name = app.rpartition("/")
        query = "&".join(filter(None, (app_query, name_query)))
        return cls(app, name, query, tc_url, publishing_type, address, encoder)

    @property
    def path(self) -> str:
        """App and name: ``live/alice``."""
        return "/".join(filter(None, (self.app, self.name)))

    @property
    def last_name(self) -> str:
        """The last part of the path: ``alice``."""
        return self.path.rpartition("/")[2]

    @property
    def text(self) -> str:
        """All of it that can be a secret."""
        return f"{self.path}?{self.query}"
