"""The tables of the configuration file: every setting, its default and its bounds.

Each setting is documented by the string under it; ``configs/streamd.toml`` is made from these
(``default_config_text``), so the file and the program cannot disagree.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, Strict

from streamd.limits import (
    CLIPS,
    DEFAULT,
    HLS,
    MODERATION,
    OBS,
    PLAYBACK,
    PUBLISH_HOOK,
    RECORDING,
    RESTREAM,
    WEBHOOKS,
)
from streamd.process.config.values import (
    WORKERS_MAX,
    Countries,
    DatabaseUrl,
    Endpoint,
    Flaggers,
    HostPatterns,
    Hosts,
    KeepLocal,
    Ladder,
    Listen,
    ListenAddress,
    NatsUrl,
    Networks,
    NodeName,
    NodeUrl,
    OptionalListen,
    PublicUrl,
    ReceiverUrl,
    ReceiverUrls,
    Serve,
    StorageUrl,
    Token,
    WebhookSecret,
    Workers,
)
from streamd.services.events.event import EventType
from streamd.services.keys.records import PublishLimits
from streamd.services.obs.ladder import ObsOptions, Rung

RTMP_PORT = 1935
# In the data directory.
DATABASE_NAME = "streamd.db"
SECRET_KEY_NAME = "secret-key"  # noqa: S105  # the name of the file


class Section(BaseModel):
    """One table of the file: frozen, strict, and with nothing in it that it does not know."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
    )


class ServerConfig(Section):
    """The process."""

    data_dir: Annotated[str, Field(min_length=1)] = "~/.local/share/streamd"
    """Directory for the key database and the admin token; made with mode 0700. `~` is your home;
    a relative path starts at this file."""
    workers: Workers = 1
    """Processes that share the work of one server, on the same ports: a number, or `"auto"` for one a core. Each takes
    broadcasters and viewers; a stream is packaged by one of them and served by all."""

    @property
    def workers_count(self) -> int:
        """How many processes share the work; 1 for one that does it all."""
        if isinstance(self.workers, int):
            return self.workers
        return min(len(os.sched_getaffinity(0)), WORKERS_MAX)


class RtmpConfig(Section):
    """Where broadcasters connect."""

    listen: OptionalListen = ListenAddress("", RTMP_PORT)
    """Address for RTMP: `host:port`, or `:port` for all interfaces. Empty: RTMP is off, which needs `tls_listen`."""
    tls_listen: OptionalListen = None
    """Address for RTMPS, customarily port 443. Empty: off."""
    tls_cert: str = ""
    """Certificate chain, PEM. OBS accepts only certificates of a public authority, and no self-signed one."""
    tls_key: str = ""
    """Private key of the certificate, PEM."""
    trusted_proxies: Networks = []
    """Networks of the TCP proxies in front, for example `["10.0.0.7/32"]`: HAProxy with `send-proxy-v2`, nginx's stream
    module with `proxy_protocol on`, a cloud's balancer. Each connection from there has to begin with a PROXY protocol
    header, version 1 or 2, and limits count by the address in it, the broadcaster's. Headers from elsewhere are not
    believed."""


class HttpConfig(Section):
    """Where viewers connect: playlists, media, watch pages, public API."""

    listen: Listen = ListenAddress("", 8080)
    """Address for HTTP, or for HTTPS where a certificate is given."""
    tls_cert: str = ""
    """Certificate chain, PEM. Empty: plain HTTP."""
    tls_key: str = ""
    """Private key of the certificate, PEM."""
    public_url: PublicUrl = ""
    """The viewers' URL of this server, for example `https://live.example.org`; URLs on pages begin with it. Empty: made
    of the listen addresses."""
    trusted_proxies: Networks = []
    """Networks of the proxies in front, for example `["127.0.0.1/32"]`. Their word about the viewer is believed
    (`X-Forwarded-For`, `X-Forwarded-Proto`), and `limits.viewer_connections_per_address_max` is not for them. Empty: no
    proxy is believed."""
    proxy_protocol: bool = False
    """Connections from `trusted_proxies` begin with a PROXY protocol header, version 1 or 2, which TCP proxies can
    send. On: the header is required, and the address in it is the viewer's."""
    hsts_max_age_s: Annotated[int, Field(ge=0)] = 2_592_000
    """Seconds for which a browser that came over HTTPS uses only HTTPS (`Strict-Transport-Security`; RFC 6797), with
    any port of that host name. Default: 30 days. 0: the field is left out."""
    list: bool = True
    """Tell everybody which channels are live, at `/` and `/api/v1/streams`. Off: both say nothing, and channels are
    watched by those who know their names. A single channel: `streamd users unlist NAME`."""
    posters: bool = True
    """Draw pictures of live channels for the list of channels and for shared links: a request decodes one keyframe, in
    a process of its own."""


class AdminConfig(Section):
    """Where operators connect: keys, users, live streams, metrics."""

    listen: OptionalListen = ListenAddress("127.0.0.1", 8081)
    """Address for the admin API. Keep it off the internet. Empty: off."""
    token: Token = SecretStr("")
    """Bearer token of the admin API. Empty: made at first start and kept in `data_dir/admin-token`, mode 0600."""
    hosts: Hosts = []
    """Host names by which browsers may reach the admin API, beside `localhost` and IP addresses (a
    guard against DNS rebinding)."""


class IngestConfig(Section):
    """How a broadcaster's media is read."""

    demuxer: Literal["pyav", "native"] = "pyav"
    """The reader of frames in FLV tags. `pyav`: libavformat, through PyAV. `native`: streamd's own, for a machine that
    is full of publishers; its packets are the same, and each publisher costs less CPU and 2 MB of memory less."""


class HlsConfig(Section):
    """How a live stream is cut."""

    part_target_ms: Annotated[int, Field(ge=100, le=2000)] = HLS.part_target_ms
    """Longest part of a segment (PART-TARGET), milliseconds. Players stay about three of them behind."""
    segment_target_ms: Annotated[int, Field(ge=1000, le=10_000)] = HLS.segment_target_ms
    """Length of a segment, milliseconds; it ends at the first keyframe from there on."""
    window_segments: Annotated[int, Field(ge=4, le=100)] = HLS.window_segments
    """Segments in the playlist, and so the media that stays in memory."""
    low_latency: bool = HLS.low_latency
    """Offer parts and blocking playlist reload (Low-Latency HLS). Off: plain HLS, a few segments behind."""


class LiveConfig(Section):
    """Live streams."""

    reconnect_window_s: Annotated[float, Field(ge=0, le=1800)] = 30
    """Seconds for which a stream whose connection just ended may be taken up again with the same key."""


class RecordingConfig(Section):
    """What is kept of broadcasts."""

    mode: Literal["off", "asked", "all"] = "off"
    """Which broadcasts are recorded: `off`, `asked` (an operator asks for one that is live) or `all`. A user may differ
    (`PATCH /api/v1/users/{name}`)."""
    dir: str = ""
    """Directory of the recordings; empty: `recordings` in `data_dir`. A relative path starts at this file."""
    fsync_s: Annotated[float, Field(ge=0, le=60)] = RECORDING.fsync_s
    """Media that a power cut may cost, seconds."""
    file_s: Annotated[int, Field(ge=10, le=600)] = RECORDING.file_s
    """Media in one file at most, seconds."""
    min_free_bytes: Annotated[int, Field(ge=0)] = RECORDING.min_free_bytes
    """Space that stays free on the disk: a recording that would take it fails, and the oldest recordings go."""
    max_bytes: Annotated[int, Field(ge=0)] = RECORDING.max_bytes
    """All recordings together; the oldest go beyond it. 0: no bound but the disk's."""
    keep_days: Annotated[int, Field(ge=0, le=36_500)] = RECORDING.keep_days
    """A recording is deleted after this many days. 0: never."""
    storyboard_interval_s: Annotated[int, Field(ge=0, le=3600)] = RECORDING.storyboard_interval_s
    """Between two pictures of the storyboard that viewers see while they seek, drawn when a recording has ended,
    seconds. 0, or `[http] posters = false`: no pictures."""


class ClipsConfig(Section):
    """Pieces of recordings, under addresses of their own."""

    who: Literal["off", "operators", "broadcasters", "viewers"] = "operators"
    """Who may make clips: `off`, `operators` (through the API), `broadcasters` too (of their own channel, in the
    studio), or `viewers` too. No rule deletes a recording that has a clip of the former two."""
    viewers_pin_days: Annotated[int, Field(ge=0, le=36_500)] = CLIPS.viewers_pin_days
    """A clip of a viewer keeps its recording from `[recording] keep_days` for this many days; from `max_bytes` and
    `min_free_bytes` it does not."""
    max_s: Annotated[int, Field(ge=1, le=600)] = CLIPS.max_s
    """The longest clip, seconds; it is whole segments, which may add some."""
    per_address_per_hour: Annotated[int, Field(ge=0, le=3600)] = CLIPS.per_address_per_hour
    """Clips that viewers at one address may make in an hour; an IPv6 /64 counts as one."""


class DvrConfig(Section):
    """The past of live streams."""

    window_s: Annotated[int, Field(ge=0, le=86_400)] = 0
    """How far back viewers of a live stream can go, seconds. It is read from recordings; a broadcast that is not
    recorded is written to the disk for it, and what has left the window is removed. 0: not at all."""


class StorageConfig(Section):
    """A bucket in which recordings are kept, in place of the disk or beside it."""

    url: StorageUrl = ""
    """`s3://bucket/prefix` (Amazon S3, and what speaks its protocol), `gs://bucket/prefix` (Google Cloud),
    `az://container/prefix` (Azure) or `file:///directory`. Empty: recordings stay on the disk."""
    endpoint: Endpoint = ""
    """URL of a service other than Amazon's, Google's or Azure's own, for example `https://s3.example.org`."""
    region: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{0,64}$")] = ""
    """Region of an S3 bucket, for example `eu-central-1`."""
    access_key_id: Annotated[str, Field(pattern=r"^[!-~]{0,256}$")] = ""
    """Id of the access key; on Azure the name of the account. Empty: as the environment or the machine's role has
    it."""
    secret_access_key_file: str = ""
    """File with the secret of the access key, with the account's key on Azure, or with a service account's JSON on
    Google Cloud; the server alone should be able to read it. A relative path starts at this file."""
    path_style: bool = True
    """The bucket's name stands in the path of S3's URLs. Off: in front of the host, for services that want it there."""
    storage_class: Annotated[str, Field(pattern=r"^[A-Z0-9_]{0,64}$")] = ""
    """Storage class of new objects, for example `STANDARD_IA`. It must be one that is read at once. Empty: the
    bucket's."""
    keep_local: KeepLocal = "until_uploaded"
    """How long media stays on the disk when the bucket has it: `until_uploaded`, `always` or a number of days, such as
    `7 days`."""
    serve: Serve = "proxy"
    """How viewers get media that the bucket alone has: `proxy` (through this server), `redirect` (from the bucket, by
    addresses that hold for ten minutes), or the URL at which `url` is public."""


class PlaybackConfig(Section):
    """Who may watch; `docs/playback.md` says how."""

    policy: Literal["public", "signed", "password", "hook"] = "public"
    """Of channels for which nothing else is decided (`PATCH /api/v1/users/{name}`): `public`, everybody; `signed`,
    whoever shows a token; `password`, whoever types the channel's password; `hook`, whom your service lets in."""
    issuer: str = ""
    """`iss` that tokens have to have. Empty: any, or none."""
    audience: str = ""
    """What has to be among the `aud` of tokens, for keys that sign for others too. Empty: nothing."""
    jwks_url: ReceiverUrl = ""
    """URL of a JSON Web Key Set, whose keys are good beside those that are made here. While it cannot be read, the keys
    that it had stay good. Empty: none."""
    leeway_s: Annotated[int, Field(ge=0, le=300)] = PLAYBACK.leeway_s
    """Seconds by which the signer's clock may be wrong."""
    ticket_s: Annotated[int, Field(ge=10, le=31_622_400)] = PLAYBACK.ticket_s
    """Seconds for which a viewer may watch at the most, before they show a token or a password again. A token that
    expires sooner ends it sooner."""
    viewers_per_session: Annotated[int, Field(ge=1, le=1000)] = PLAYBACK.viewers_per_session
    """Players that may use one viewer's ticket at once: an address out of a playlist that is given on. It needs
    `http.trusted_proxies` where a cache is in front."""
    hook_url: ReceiverUrl = ""
    """URL of your service that is asked with the policy `hook`; the POST request is signed like a webhook."""
    hook_secret: WebhookSecret = SecretStr("")
    """`whsec_` and 24 to 64 random bytes in base64, known to the service."""
    on_failure: Literal["deny", "allow"] = "deny"
    """The decision where the service does not answer."""
    referrers: HostPatterns = []
    """Hosts of the pages that may show locked channels, such as `["example.org", "*.example.org"]`. Empty: all. Players
    that are no pages say nothing of a page, and are let in."""
    geoip_file: str = ""
    """Country database in MaxMind's format (`.mmdb`), DB-IP Lite or GeoLite2 Country; for `cc` of tokens and for
    `blocked_countries`. Needs `pip install 'streamd[geoip]'`. A relative path starts at this file."""
    unknown_country: Literal["allow", "deny"] = "allow"
    """Viewers whose country is not known, where their country matters."""
    blocked_countries: Countries = []
    """Countries in which locked channels are not shown by an order, such as `["DE"]`: status 451 (RFC 7725)."""
    blocked_by: ReceiverUrl = ""
    """Whose order that is: the URL in the `Link` field of that answer."""


class ModerationConfig(Section):
    """Reports, decisions and takedowns; `docs/moderation.md` says how."""

    enabled: bool = False
    """Take reports, and offer the page for them, cases, takedowns, blocks and public counts. Off: none of it is
    there."""
    contact_email: Annotated[str, Field(pattern=r"^([^@\s]{1,64}@[^@\s]{1,253})?$")] = ""
    """Where authorities and users write to, at `/legal` (Digital Services Act, articles 11 and 12)."""
    contact_post: Annotated[str, Field(max_length=500)] = ""
    """Postal address, at `/legal`."""
    legal_representative: Annotated[str, Field(max_length=500)] = ""
    """Name and address of the legal representative in the EU of a server that is elsewhere, at `/legal`
    (article 13)."""
    reports_per_address_per_10_min: Annotated[int, Field(ge=1, le=10_000)] = MODERATION.reports_per_address_per_10_min
    """Reports that are taken from one address in ten minutes; an IPv6 /64 counts as one. Trusted flaggers are not
    held to it."""
    evidence_s: Annotated[int, Field(ge=0, le=300)] = MODERATION.evidence_s
    """Media before a report that is kept as evidence, seconds. 0: a picture and the facts alone."""
    evidence_keep_days: Annotated[int, Field(ge=1, le=3650)] = MODERATION.evidence_keep_days
    """Days for which evidence, and what reporters have said of themselves, is kept after the decision. Six months, as
    long as a decision can be complained about."""
    scan: Literal["off", "reported", "first_minute", "all"] = "reported"
    """Which pictures the machine looks at: none, those of reported channels, those of each broadcast's first minute
    too, or one every ten seconds of all."""
    hash_lists: list[str] = []
    """Files with hashes of pictures that are known (PDQ, one in 64 hexadecimal digits a line). A relative path starts
    at this file."""
    trusted_flaggers: Flaggers = []
    """Who reports with a token of their own, and is heard first (Digital Services Act, article 22): for each a name,
    `=` and the SHA-256 of the token. `streamd cases flagger NAME` makes them."""
    classifier: str = ""
    """What scores pictures: `nudenet`, whose model comes with `pip install 'streamd[moderation]'`, or the path of an
    ONNX file. Empty: nothing."""
    classifier_labels: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=1000)] = []
    """Which labels of the classifier count as found. Empty: all of an ONNX file of yours, and what `nudenet` calls
    exposed."""
    classifier_score_min: Annotated[float, Field(gt=0, le=1)] = MODERATION.classifier_score_min
    """From which score on a label counts as found, up to 1."""
    scan_pictures_per_s: Annotated[int, Field(ge=1, le=1000)] = MODERATION.scan_pictures_per_s
    """Pictures that the machine looks at in a second, of all channels together, beside those that are reported. Ten
    take a third of a core with `nudenet`; where more are due, each channel is looked at less often."""
    read_words: bool = True
    """Read the words in pictures of what is reported; takes most of a second of a core a picture."""
    assistant_url: ReceiverUrl = ""
    """A service that speaks OpenAI's protocol and may suggest category, priority and a summary, such as
    `https://assistant.example.org/v1`. It is told what reporters wrote and what was found, and no picture. One on this
    machine or in a network of yours has to be in `webhooks.allow_networks`. Empty: none."""
    assistant_key: SecretStr = SecretStr("")
    """Its bearer token."""
    assistant_model: Annotated[str, Field(max_length=200)] = ""
    """The model that it is asked for. Empty: the service chooses."""
    timestamp_url: ReceiverUrl = ""
    """An authority that stamps evidence with the time (RFC 3161). Empty: none."""
    purge_urls: ReceiverUrls = []
    """Caches in front that are told of a takedown, by a `PURGE` or `BAN` request for each path, such as
    `["http://127.0.0.1:6081"]`."""
    transparency: bool = True
    """Publish how many reports, takedowns, orders and appeals there were, day by day, at `/transparency`."""


class KeysConfig(Section):
    """The key store."""

    database_url: DatabaseUrl = SecretStr("")
    """`postgresql+asyncpg://user:password@host/database`. Empty: SQLite, in `data_dir/streamd.db`."""


class ClusterConfig(Section):
    """Many machines, one service; `docs/cluster.md` says how."""

    nats_url: NatsUrl = SecretStr("")
    """Servers of NATS with JetStream, such as `nats://10.0.0.2:4222`, several separated by commas; over it the nodes
    know of each other. It needs `keys.database_url`, `secret_file`, `listen` and `advertise`, and
    `pip install 'streamd[cluster]'`. Empty: one machine."""
    nats_credentials_file: str = ""
    """Credentials of NATS' user (`.creds`). Empty: none, or those in `nats_url`. A relative path starts at this
    file."""
    node: NodeName = ""
    """Name of this node, of its own in the cluster. Empty: the machine's."""
    region: Annotated[str, Field(max_length=64)] = ""
    """Where it stands, for people."""
    listen: OptionalListen = None
    """Address for other nodes, which fetch streams there: `host:port`. Keep it off the internet."""
    advertise: NodeUrl = ""
    """URL at which they reach it, such as `http://10.0.0.11:8082`."""
    secret_file: str = ""
    """File with a secret of 16 bytes or more, the same for all nodes; the server alone should be able to read it. A
    relative path starts at this file."""
    lease_s: Annotated[float, Field(ge=2, le=60)] = 6
    """Seconds after which a node that is not heard of is gone, and its streams may go on elsewhere. The same for all
    nodes."""
    role: Literal["all", "origin", "edge"] = "all"
    """`all`; `origin`, which serves viewers of its own streams alone; or `edge`, which takes no publishers."""
    on_isolation: Literal["keep", "stop"] = "keep"
    """What a node does that cannot read the database for `isolation_s`, and may have missed a takedown: `keep` serves
    on, `stop` does not."""
    isolation_s: Annotated[float, Field(ge=5, le=86_400)] = 30
    """Seconds until then."""


class ObsConfig(Section):
    """The ladder that OBS encodes when its user switches on multitrack video: several tracks, one for each variant."""

    ladder: Ladder = [*OBS.ladder]
    """Video tracks, each as the lines of its picture and its kb/s; at most 8. Rungs larger than a broadcaster's
    picture, or beyond the user's limits, are left out. Empty: OBS gets no ladder."""
    encoders: Annotated[list[str], Field(min_length=1)] = [*OBS.encoders]
    """OBS's names of encoders, the best first; the first that a broadcaster's OBS has is used, and the last if it names
    none. `obs_x264` is in every OBS and runs on its processor. On graphics cards: `obs_nvenc_h264_tex`,
    `h264_texture_amf`, `obs_qsv11_v2`, `com.apple.videotoolbox.videoencoder.ave.avc`."""
    keyframe_interval_s: Annotated[int, Field(ge=1, le=10)] = OBS.keyframe_interval_s
    """Seconds between keyframes, in all tracks at the same times; 2 fits `hls.segment_target_ms`."""
    audio_bitrate_kbps: Annotated[int, Field(ge=32, le=512)] = OBS.audio_bitrate_kbps
    """Bit rate of the sound, kb/s."""


class WebhookEndpoint(Section):
    """A receiver of events."""

    url: Annotated[ReceiverUrl, Field(min_length=1)]
    secret: Annotated[WebhookSecret, Field(min_length=1)]
    events: list[Annotated[EventType, Strict(False)]] = []

    @property
    def origin(self) -> str:
        """The URL for a log: without path and query, which may hold a token."""
        url = urlsplit(self.url)
        return f"{url.scheme}://{url.netloc}"


class WebhooksConfig(Section):
    """The receivers of events: POST requests, signed after Standard Webhooks (https://www.standardwebhooks.com)."""

    endpoints: list[WebhookEndpoint] = []
    """Instead of this line write for each, at the end of the file, a table `[[webhooks.endpoints]]`: `url`; `secret`,
    which is `whsec_` and 24 to 64 random bytes in base64, and known to the receiver; and `events`, for example
    `["stream.started", "stream.ended"]`, without which it gets all. In the environment: a JSON list of these."""
    allow_networks: Networks = []
    """Networks beside the internet that webhooks and the publish hook may reach, for example `["127.0.0.0/8"]`. A name
    that leads elsewhere is not asked, even if it led to the internet when you wrote it."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = WEBHOOKS.timeout_s
    """Seconds for one attempt."""
    retry_for_s: Annotated[float, Field(ge=0)] = WEBHOOKS.retry_for_s
    """Seconds for which a message is tried again, after 1, 2, 4 up to 300 s, after no answer, a 5xx, or a 408, 425 or
    429. A message answered with a 3xx or another 4xx is not sent again. Messages arrive in order; they do not outlive
    the server."""
    queue_max: Annotated[int, Field(ge=1)] = WEBHOOKS.queue_max
    """Messages that wait for one endpoint; then the oldest is dropped. Each is about 0.5 kB."""


class PublishHookConfig(Section):
    """A service of yours that may forbid a publish with a good key, or decides alone: 2xx allows, 4xx forbids."""

    url: ReceiverUrl = ""
    """Its URL, which gets a POST request that is signed like a webhook. Empty: off."""
    secret: WebhookSecret = SecretStr("")
    """`whsec_` and 24 to 64 random bytes in base64, known to the service."""
    timeout_s: Annotated[float, Field(gt=0, le=10)] = PUBLISH_HOOK.timeout_s
    """Seconds for its answer. Encoders wait about ten for theirs."""
    on_failure: Literal["deny", "allow"] = "deny"
    """The decision without such an answer: `deny` refuses the publish, and the encoder tries again."""
    decides: bool = False
    """The service decides alone over any name and key, and says in which channel it goes live; stream keys are not
    asked. The publisher's name and key go there and nowhere else, so its URL begins with `https://`, or leads to
    this machine."""
    format: Literal["streamd", "nginx-rtmp", "mediamtx"] = "streamd"
    """The words in which a service that decides is asked: `streamd`, signed JSON, answered with `{"channel": "NAME"}`;
    `nginx-rtmp`, the form of its `on_publish`; `mediamtx`, the JSON of its `authHTTPAddress`."""


class RestreamConfig(Section):
    """Broadcasts passed on to other servers: YouTube, Twitch, Facebook, any RTMP server."""

    targets_per_user_max: Annotated[int, Field(ge=0, le=100)] = RESTREAM.targets_per_user_max
    """Targets that a user may have. Each takes a broadcast's bit rate of the uplink once more. 0: restreaming is off,
    and targets that there are rest."""
    queue_s: Annotated[float, Field(gt=0, le=60)] = RESTREAM.queue_s
    """Seconds of media that wait for a target that is slower than the broadcast; then whole groups of pictures are left
    out. It is memory that the broadcast keeps for so long."""
    give_up_after_s: Annotated[float, Field(ge=0)] = RESTREAM.give_up_after_s
    """Seconds after which a target that is not live is tried no more in this broadcast. 0: it is tried to the end."""
    allow_networks: Networks = []
    """Networks beside the internet where targets may be, for example `["10.0.0.0/8"]`."""


class SecretsConfig(Section):
    """The key under which secrets lie in the database: stream keys of targets. Without it they cannot be read."""

    key_file: str = ""
    """File with one key a line; the first locks, all of them open. Empty: `secret-key` in the data directory, made at
    need with mode 0600. Servers that share a database share its content. `streamd secrets rotate` changes it."""


class PrivacyConfig(Section):
    """How long personal data is kept; `docs/privacy.md` says which there is."""

    keep_addresses_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    """Days after which IP addresses are erased from the audit log and from keys' last uses; the rows stay. 0: they are
    kept as long as the rows. Seven to thirty days are enough to look into an attack."""


class LogConfig(Section):
    """The server's log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is written."""
    format: Literal["auto", "console", "json"] = "auto"
    """`console` for people, `json` for machines (one object a line), `auto`: console on a terminal, else json."""


class MetricsConfig(Section):
    """The content of `/metrics` of the admin API, for Prometheus."""

    per_channel: bool = False
    """Show figures of single channels too, named by the channel: bit rate, viewers, findings. A database keeps each
    series that it has ever seen, and the names are those of users. On: `limits.channel_metrics_max` bounds them."""


class LimitsConfig(Section):
    """Every bound that protects the server."""

    connections_max: Annotated[int, Field(ge=1)] = DEFAULT.connections_max
    """RTMP connections at once. One more replaces one that does not publish, if there is one. A connection that sends
    nothing yet costs about 4 kB until `handshake_timeout_s`."""
    connections_per_address_max: Annotated[int, Field(ge=1)] = DEFAULT.connections_per_address_max
    """RTMP connections at once from one IP address (IPv6: from one /64). A studio behind one address has dozens of
    encoders."""
    handshakes_max: Annotated[int, Field(ge=1)] = DEFAULT.handshakes_max
    """RTMP connections at once that have not said `connect` yet. Half of all, so that idle sockets leave the other half
    to encoders that have connected. One more replaces one that has been silent for a second, or else the first that
    came."""
    loop_ms_per_stranger_max: Annotated[int, Field(ge=1, le=1000)] = DEFAULT.loop_ms_per_stranger_max
    """Milliseconds of processor time that an RTMP connection may take in a second before its publish is accepted, and
    five times as many at once after a rest. Past it the connection is not read until they have come back. A login takes
    one or two."""
    loop_ms_per_address_max: Annotated[int, Field(ge=1, le=1000)] = DEFAULT.loop_ms_per_address_max
    """The same for all of them from one IP address (IPv6: from one /64) together: 25 logins in each second, and 125 at
    once."""
    loop_ms_of_strangers_max: Annotated[int, Field(ge=1, le=1000)] = DEFAULT.loop_ms_of_strangers_max
    """The same for all of them together: a hundred logins in each second, and 500 at once, when the encoders of a whole
    server reconnect. Past it, those whose address has taken least are read first. The rest of the time is for
    publishers and viewers."""
    loop_ms_per_publisher_max: Annotated[int, Field(ge=10, le=1000)] = DEFAULT.loop_ms_per_publisher_max
    """The same for one publisher. 6 Mb/s take one to five, 50 Mb/s up to thirty; eight tracks of each kind, a hundred
    where streamd is not compiled."""
    loop_overdue_s: Annotated[float, Field(ge=1)] = DEFAULT.loop_overdue_s
    """Seconds for which a publisher may be over its share of time before it is closed; half of them for a connection
    that does not publish. An encoder that catches up after a bad minute takes less."""
    tls_handshakes_max: Annotated[int, Field(ge=1)] = DEFAULT.tls_handshakes_max
    """TLS handshakes in progress at once, of RTMPS and HTTPS together. One costs about 60 kB and 1 ms; a completed one
    counts as a connection."""
    tls_handshakes_per_address_max: Annotated[int, Field(ge=1)] = DEFAULT.tls_handshakes_per_address_max
    """The same from one IP address (IPv6: from one /64). A quarter of all, and enough for a hall full of viewers behind
    one address: a handshake takes a tenth of a second."""
    proxy_header_timeout_s: Annotated[float, Field(gt=0)] = DEFAULT.proxy_header_timeout_s
    """Seconds for the PROXY protocol header of a connection from a proxy, which is in its first packet."""
    tls_handshake_timeout_s: Annotated[float, Field(gt=0)] = DEFAULT.tls_handshake_timeout_s
    """Seconds for a TLS handshake: two round trips, and a computation on either side."""
    streams_max: Annotated[int, Field(ge=1)] = DEFAULT.streams_max
    """Live streams at once. A stream of 6 Mb/s keeps about 25 MB of media in memory with the default window."""
    memory_bytes_max: Annotated[int, Field(ge=0)] = DEFAULT.memory_bytes_max
    """Size of the process, in bytes, past which no new stream begins; those that run, and their publishers that come
    back, go on. 0: four fifths of what the machine or the container has."""
    handshake_timeout_s: Annotated[float, Field(gt=0)] = DEFAULT.handshake_timeout_s
    """Seconds from the connection to the end of the RTMP handshake: three packets, and a second on a bad line."""
    publish_timeout_s: Annotated[float, Field(gt=0)] = DEFAULT.publish_timeout_s
    """Seconds from the handshake to the publish command. Encoders need about ten round trips."""
    verify_timeout_s: Annotated[float, Field(gt=0)] = DEFAULT.verify_timeout_s
    """Seconds for the key store's answer; then the publish is refused, and the encoder tries again."""
    failed_publishes_per_address_max: Annotated[int, Field(ge=1)] = DEFAULT.failed_publishes_per_address_max
    """Failed publishes from one IP address (IPv6: from one /64) in a row, and in each minute after them. Past that,
    keys are refused without being looked up, but for those that are known to be good. A studio behind one address whose
    dozens of encoders all have a wrong key retries less often."""
    failed_publishes_per_key_max: Annotated[int, Field(ge=1)] = DEFAULT.failed_publishes_per_key_max
    """The same for one key id, from any address. The right secret gets in however many wrong ones are shown. An encoder
    whose key was revoked retries five times in the first half minute, then less and less."""
    publishes_per_minute_max: Annotated[int, Field(ge=5)] = DEFAULT.publishes_per_minute_max
    """Publishes with one good key at once, and in each minute after them; past that it is refused without being looked
    up. Encoders that come back do so after 2 s, 3 s, 4.5 s and so on; a script that starts one anew comes once a
    second. Each publish is a look-up, a question to the publish hook, a few lines in the log and webhooks."""
    denials_per_minute_max: Annotated[int, Field(ge=1)] = DEFAULT.denials_per_minute_max
    """Rows about refused publishes in the audit log, a minute, that name an address; further ones are counted in one
    row a reason. An attack may add 20 MB a day to the disk, in rows that are never deleted."""
    unpublished_lines_per_minute_max: Annotated[int, Field(ge=1)] = DEFAULT.unpublished_lines_per_minute_max
    """Lines in the log, a minute, about connections without a publish: a peer that opens them by the thousand may add
    150 MB a day."""
    log_lines_per_address_max: Annotated[int, Field(ge=1)] = DEFAULT.log_lines_per_address_max
    """The same about one IP address: thirty connections that were refused, which have two lines each. One line a minute
    counts the lines that were left out."""
    media_timeout_s: Annotated[float, Field(ge=1)] = DEFAULT.media_timeout_s
    """Seconds without media after which a publisher counts as gone. Longer than a reconnect of Wi-Fi, shorter than
    viewers' patience. Arriving media may stay in the kernel for most of a second."""
    message_bytes_max: Annotated[int, Field(ge=65_536, le=64 * 1024 * 1024)] = DEFAULT.message_bytes_max
    """Bytes of one RTMP message, which is one frame. A keyframe of a 50 Mb/s broadcast is about 3 MB."""
    held_bytes_max: Annotated[int, Field(ge=65_536)] = DEFAULT.held_bytes_max
    """Bytes of unfinished RTMP messages that one connection may hold: two of the largest at once, video and audio
    interleaved."""
    chunk_streams_max: Annotated[int, Field(ge=4)] = DEFAULT.chunk_streams_max
    """RTMP chunk streams of one connection. Encoders use 2 to 6; the protocol has numbers for 65,598."""
    chunk_size_min: Annotated[int, Field(ge=1, le=128)] = DEFAULT.chunk_size_min
    """Least RTMP chunk size that a publisher may set, bytes. 128 is the protocol's default; smaller ones only cost
    time, at 1 as much for a byte as for 128."""
    messages_per_read_max: Annotated[int, Field(ge=256)] = DEFAULT.messages_per_read_max
    """RTMP messages in the 256 kB that are read at once; a message can have one byte, and each holds the loop for 2 µs
    or more. Half a second of a 50 Mb/s broadcast has some hundred."""
    messages_per_second_max: Annotated[int, Field(ge=1000)] = DEFAULT.messages_per_second_max
    """RTMP messages of one connection in a second. Eight tracks of each kind have a thousand; an encoder that catches
    up after a bad minute sends some thousand at once."""
    command_bytes_max: Annotated[int, Field(ge=4096)] = DEFAULT.command_bytes_max
    """Bytes of an RTMP command or of metadata; a longer one is dropped. The longest in the field is 20 kB."""
    pending_bytes_max: Annotated[int, Field(ge=32_768)] = DEFAULT.pending_bytes_max
    """Bytes that an RTMP connection may send from the end of the handshake until its publish is accepted, and may make
    us hold until then. Encoders send 1 to 2 kB, and wait."""
    pending_messages_max: Annotated[int, Field(ge=32)] = DEFAULT.pending_messages_max
    """RTMP messages in the same time. Encoders send fewer than 20."""
    unsent_answers_bytes_max: Annotated[int, Field(ge=16_384)] = DEFAULT.unsent_answers_bytes_max
    """Bytes of answers that an RTMP connection may leave unread; an answer is a few hundred."""
    amf_depth_max: Annotated[int, Field(ge=4, le=200)] = DEFAULT.amf_depth_max
    """Values inside values in a command or in metadata. OBS nests one level, Enhanced RTMP's track maps three."""
    amf_values_max: Annotated[int, Field(ge=64)] = DEFAULT.amf_values_max
    """Values and their names in a command or in metadata, or in all of them that come faster than one for 8 bytes of
    the stream: 4096 take about 2 ms. Encoders send some 50. Until a publish is accepted there are 512 at most."""
    amf_string_bytes_max: Annotated[int, Field(ge=1024)] = DEFAULT.amf_string_bytes_max
    """Bytes of one text in a command or in metadata: all that a short string can have. XMP has 10 kB."""
    bitrate_kbps_max: Annotated[int, Field(ge=100)] = DEFAULT.bitrate_kbps_max
    """Kilobits a second that a publisher may send, audio and video, over five seconds; past it, its stream ends and
    says why. Twice what the best platforms take. A user may have another: `streamd users limit`. Allow a third more
    than encoders are set to: one that catches up after a bad moment sends more."""
    picture_pixels_max: Annotated[int, Field(ge=16_384, le=35_651_584)] = DEFAULT.picture_pixels_max
    """Width times height of a publisher's pictures; with larger ones its stream ends and says why. The default is 8K,
    the largest that H.264 and HEVC have a level for; 2088960 lets 1080p through, also where an encoder pads it to
    blocks of 16x16. A user may have another."""
    tracks_max: Annotated[int, Field(ge=1, le=32)] = DEFAULT.tracks_max
    """Video tracks, and audio tracks, of one publisher; further ones are dropped. OBS sends up to five and six."""
    window_bytes_max: Annotated[int, Field(ge=16 * 1024 * 1024)] = DEFAULT.window_bytes_max
    """Bytes of media that one stream keeps for its playlists; past it, old segments leave early. The default window of
    a 50 Mb/s broadcast has about 200 MB."""
    gop_bytes_max: Annotated[int, Field(ge=1024 * 1024)] = DEFAULT.gop_bytes_max
    """Bytes from one keyframe to the next that are kept for viewers who join over HTTP-FLV or MP4; with more, they
    start with the next keyframe. At most twice this waits unsent for one viewer, who is then set aside."""
    waiting_requests_max: Annotated[int, Field(ge=1)] = DEFAULT.waiting_requests_max
    """Viewers' requests that wait for the next part or playlist at once. Each costs about 0.6 kB."""
    waiting_requests_per_address_max: Annotated[int, Field(ge=1)] = DEFAULT.waiting_requests_per_address_max
    """The same of viewers behind one IP address (IPv6: one /64). A quarter of all; a hall of 2,000 Low-Latency viewers
    behind one address has some 3,000."""
    viewer_connections_max: Annotated[int, Field(ge=1)] = DEFAULT.viewer_connections_max
    """Viewers' connections at once; one more is closed at once. An idle one costs about 3 kB."""
    viewer_connections_per_address_max: Annotated[int, Field(ge=1)] = DEFAULT.viewer_connections_per_address_max
    """Viewers' connections at once from one IP address (IPv6: from one /64). Half of all, so that no address takes all;
    the proxies of `http.trusted_proxies` are not held to it."""
    requests_per_second_max: Annotated[float, Field(ge=1)] = DEFAULT.requests_per_second_max
    """Requests for pages, files and JSON from one IP address (IPv6: from one /64) in a second, twenty times as many
    after a quiet time; media that a page's connections ask for counts a tenth. Each costs 0.2 to 0.5 ms. The pages of
    1,000 viewers behind one address ask 70 times a second. On the admin port: of requests without its token."""
    request_head_bytes_max: Annotated[int, Field(ge=1024, le=65_536)] = DEFAULT.request_head_bytes_max
    """Bytes of a viewer's request up to its empty line. Browsers send 1 kB, with a site's cookies up to 8 kB."""
    request_line_bytes_max: Annotated[int, Field(ge=256, le=65_536)] = DEFAULT.request_line_bytes_max
    """Bytes of a viewer's request line; RFC 9112 recommends this many."""
    request_fields_max: Annotated[int, Field(ge=20)] = DEFAULT.request_fields_max
    """Header fields of a viewer's request. Browsers and proxies together send about 30."""
    unanswered_bytes_max: Annotated[int, Field(ge=16_384)] = DEFAULT.unanswered_bytes_max
    """Bytes that a viewer may ask before it is answered. Players that pipeline ask for a few things of 1 kB each."""
    viewer_head_timeout_s: Annotated[float, Field(gt=0)] = DEFAULT.viewer_head_timeout_s
    """Seconds from the first byte of a viewer's request to the end of its head, which is a packet or two."""
    viewer_body_timeout_s: Annotated[float, Field(gt=0)] = DEFAULT.viewer_body_timeout_s
    """Seconds from the end of a request's head to the end of its body. Bodies have 32 kB at the most,
    those of the admin API 768 kB."""
    viewer_idle_timeout_s: Annotated[float, Field(gt=0)] = DEFAULT.viewer_idle_timeout_s
    """Seconds from one answer to the next request of a viewer's connection: longer than any segment."""
    viewer_write_timeout_s: Annotated[float, Field(gt=0)] = DEFAULT.viewer_write_timeout_s
    """Seconds for which a viewer's connection may take none of the bytes sent to it, before it is closed."""
    viewer_answer_timeout_s: Annotated[float, Field(gt=0)] = DEFAULT.viewer_answer_timeout_s
    """Seconds for which a viewer's connection may take one answer, however little at a time: media that has left every
    playlist stays in memory while it is being sent."""
    drain_timeout_s: Annotated[float, Field(ge=0)] = DEFAULT.drain_timeout_s
    """Seconds for viewers to fetch the last segments when the server stops."""
    channel_metrics_max: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT.channel_metrics_max
    """Channels in `/metrics` with `metrics.per_channel`, those that have been live for longest. Each has eleven series,
    1.5 kB of every scrape; with 200 channels, as much as all other metrics have three times over."""
    evidence_bytes_max: Annotated[int, Field(ge=0)] = DEFAULT.evidence_bytes_max
    """All evidence on the disk (`[moderation]`): by default 900 pieces of 30 s at 6 Mb/s. Beyond it, what is kept is a
    picture and the facts; nothing is deleted for want of room before its time."""


class Config(Section):
    """The whole configuration, valid."""

    server: ServerConfig = ServerConfig()
    rtmp: RtmpConfig = RtmpConfig()
    http: HttpConfig = HttpConfig()
    admin: AdminConfig = AdminConfig()
    ingest: IngestConfig = IngestConfig()
    hls: HlsConfig = HlsConfig()
    live: LiveConfig = LiveConfig()
    recording: RecordingConfig = RecordingConfig()
    clips: ClipsConfig = ClipsConfig()
    dvr: DvrConfig = DvrConfig()
    storage: StorageConfig = StorageConfig()
    playback: PlaybackConfig = PlaybackConfig()
    moderation: ModerationConfig = ModerationConfig()
    keys: KeysConfig = KeysConfig()
    cluster: ClusterConfig = ClusterConfig()
    obs: ObsConfig = ObsConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    publish_hook: PublishHookConfig = PublishHookConfig()
    restream: RestreamConfig = RestreamConfig()
    secrets: SecretsConfig = SecretsConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    limits: LimitsConfig = LimitsConfig()

    @property
    def data_dir(self) -> Path:
        """Directory for the server's files, absolute."""
        return Path(self.server.data_dir)

    @property
    def database_url(self) -> str:
        """URL of the key store; holds a password if the operator's does."""
        return self.keys.database_url.get_secret_value() or f"sqlite+aiosqlite:///{self.data_dir / DATABASE_NAME}"

    @property
    def recordings_dir(self) -> Path:
        """Directory of the recordings, absolute."""
        return Path(self.recording.dir) if self.recording.dir else self.data_dir / "recordings"

    @property
    def secret_key_file(self) -> Path:
        """The file with the key of secrets, absolute."""
        return Path(self.secrets.key_file) if self.secrets.key_file else self.data_dir / SECRET_KEY_NAME

    @property
    def public_url(self) -> str:
        """The viewers' URL of the public port, without a slash at the end."""
        if self.http.public_url:
            return self.http.public_url
        scheme, default_port = ("https", 443) if self.http.tls_cert else ("http", 80)
        return _url(scheme, self.http.listen, default_port, "localhost")

    @property
    def rtmp_url(self) -> str:
        """The server that broadcasters type: the stream key is a field of its own."""
        # OBS silently refuses a certificate without a public authority: plain RTMP always works.
        return self.rtmp_urls[-1]

    @property
    def rtmp_urls(self) -> tuple[str, ...]:
        """All that they could type, RTMPS first."""
        host = urlsplit(self.public_url).hostname or "localhost"
        listeners = (("rtmps", self.rtmp.tls_listen, 443), ("rtmp", self.rtmp.listen, RTMP_PORT))
        return tuple(f"{_url(scheme, at, port, host)}/live" for scheme, at, port in listeners if at is not None)

    @property
    def obs_options(self) -> ObsOptions:
        """The configuration of OBS's ladder."""
        return ObsOptions(
            # OBS shows its key to get the ladder, and a hook that decides is asked over publishes alone.
            ladder=() if self.publish_hook.decides else tuple(Rung.parse(rung) for rung in self.obs.ladder),
            encoders=tuple(self.obs.encoders),
            keyframe_interval_s=self.obs.keyframe_interval_s,
            audio_bitrate_kbps=self.obs.audio_bitrate_kbps,
            rtmp_urls=self.rtmp_urls,
            limits=PublishLimits(self.limits.bitrate_kbps_max, self.limits.picture_pixels_max),
        )


SECTIONS: dict[str, type[Section]] = {
    name: annotation
    for name, field in Config.model_fields.items()
    if isinstance(annotation := field.annotation, type) and issubclass(annotation, Section)
}
# Settings that are paths, and so start at the file that names them.
PATHS = [
    ("moderation", "classifier"),
    ("moderation", "hash_lists"),
    ("server", "data_dir"),
    ("recording", "dir"),
    ("storage", "secret_access_key_file"),
    ("playback", "geoip_file"),
    ("cluster", "nats_credentials_file"),
    ("cluster", "secret_file"),
    ("secrets", "key_file"),
    *((s, k) for s in ("rtmp", "http") for k in ("tls_cert", "tls_key")),
]

Name = tuple[str, str]
"""Section and key of a setting."""


def _url(scheme: str, listen: ListenAddress, default_port: int, host_if_any: str) -> str:
    """A URL that reaches a listener; ``host_if_any`` where it listens on all interfaces."""
    host = listen.host if listen.host not in ("", "0.0.0.0", "::") else host_if_any  # noqa: S104  # compared, not bound
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}" if listen.port == default_port else f"{scheme}://{host}:{listen.port}"


def is_secret(name: Name) -> bool:
    """Whether a setting must never be shown."""
    section, key = name
    return SECTIONS[section].model_fields[key].annotation in (SecretStr, list[WebhookEndpoint])
