"""Every error that streamd raises on purpose, in one tree.

The branch names the side at fault and the thing to close: a ``ProtocolError`` closes the connection that sent the
bytes, a ``MediaError`` ends the stream whose media cannot be carried, a ``LocalStateError`` is a fault of the calling
code.
"""

from __future__ import annotations

from collections.abc import Sequence


class StreamdError(Exception):
    """Base of every error raised on purpose."""


class ProtocolError(StreamdError):
    """The peer's bytes break a specification, or pass a limit of ours: close that connection, nothing else."""

    def __init__(self, message: str, *, limit: str = "") -> None:
        super().__init__(message)
        self.limit = limit
        """Key in ``[limits]`` of the bound that was passed; empty where none was."""


class AmfError(ProtocolError):
    """Bytes that are not AMF0 or AMF3, or that pass one of the reader's limits."""


class FlvError(ProtocolError):
    """A tag body that is not FLV: too short for what its own header promises."""


class CodecConfigError(ProtocolError):
    """A codec configuration record (avcC, AudioSpecificConfig…) that breaks its specification."""


class DirectiveError(ProtocolError):
    """A delivery directive in a playlist request that rfc8216bis 6.2.5 does not know; answered with 400."""


class ProxyProtocolError(ProtocolError):
    """A proxy's connection does not begin with a PROXY header."""


class FeedError(ProtocolError):
    """Bytes of another node that are no feed of the stream that was asked for."""


class RtmpError(ProtocolError):
    """Bytes that break RTMP 1.0."""


class HandshakeError(RtmpError):
    """Not an RTMP handshake: another protocol on this port, or a version we do not speak."""


class ChunkError(RtmpError):
    """A chunk that the chunk stream's state does not allow (RTMP 1.0 section 5.3)."""


class MessageTooLargeError(RtmpError):
    """A message header that declares more bytes than we accept."""

    def __init__(self, declared_bytes: int, allowed_bytes: int, *, limit: str = "message_bytes_max") -> None:
        super().__init__(f"message of {declared_bytes} bytes declared, {allowed_bytes} allowed", limit=limit)
        self.declared_bytes = declared_bytes
        self.allowed_bytes = allowed_bytes


class MessageError(RtmpError):
    """One whole message that cannot be used: drop it, keep the connection."""


class CommandError(RtmpError):
    """A command message in a state that does not allow it, or without a value that it needs."""


class MediaError(StreamdError):
    """Legal bytes that we cannot carry."""


class UnsupportedCodecError(MediaError):
    """A codec that no rendition of ours can carry."""

    def __init__(self, codec: str) -> None:
        super().__init__(f"codec {codec} cannot be carried; use H.264 video and AAC audio")
        self.codec = codec


class MediaLimitError(MediaError):
    """More than the operator lets a publisher send."""

    def __init__(self, message: str, *, limit: str) -> None:
        super().__init__(message)
        self.limit = limit
        """Key in ``[limits]`` of the bound that was passed."""


class DemuxError(MediaError):
    """libavformat refused a tag that the gate let through, or lost step."""


class PictureError(MediaError):
    """A keyframe that makes no picture."""


class PictureWorkerRestsError(PictureError):
    """The drawing process has failed several times in a row, for different keyframes, which are not to blame.

    Args:
        rest_s: Seconds until it is started again.
    """

    def __init__(self, rest_s: float) -> None:
        self.rest_s = rest_s
        super().__init__(f"the picture worker is started again in {rest_s:.1f} s")


class TrackRefusedError(DemuxError):
    """libavformat cannot carry one track; the others it can."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(why)
        self.index = index
        """Index of the track among those that were opened."""


class AssistantError(StreamdError):
    """The service that may suggest what a case is about did not answer, or something else."""


class PostersBusyError(StreamdError):
    """So many pictures are being drawn that no caller would wait for one more."""


class OutputError(StreamdError):
    """An output of a stream cannot go on, for a reason outside of us: its disk, its receiver, a slow line."""


class RecordingError(StreamdError):
    """A recording cannot go on, and ends with this reason; the broadcast is not concerned."""


class RecordingOffError(RecordingError):
    """Recording is switched off, for this user too: nobody can ask for it."""


class StorageError(StreamdError):
    """The bucket does not do what it is asked.

    Args:
        reason: One word or two, for metrics (``storage.faults.StorageFault``).
        message: What is wrong, for people; nothing of a secret.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def is_missing(self) -> bool:
        """Whether the bucket works, and has no such object."""
        return self.reason == "missing"


class RecordingNotFoundError(StreamdError):
    """There is no such recording."""

    def __init__(self, recording_id: str) -> None:
        super().__init__(f"there is no recording {recording_id}")


class ClipTimesError(StreamdError):
    """The times that are asked for make no clip; the text is for the asker."""


class ClipRefusedError(StreamdError):
    """A clip cannot be made of this recording; the text is for the asker."""


class ClipsBusyError(StreamdError):
    """So many clips are being made that one more has to be asked for later."""


class ClipNotFoundError(StreamdError):
    """There is no such clip."""

    def __init__(self, clip_id: str) -> None:
        super().__init__(f"there is no clip {clip_id}")


class EvidenceNotFoundError(StreamdError):
    """There is no such evidence."""

    def __init__(self, evidence_id: str) -> None:
        super().__init__(f"there is no evidence {evidence_id}")


class EvidenceGoneError(StreamdError):
    """The files of a piece of evidence are not here any more; the text says why."""


class StampError(StreamdError):
    """A timestamping authority gave no stamp that holds."""


class ExportError(StreamdError):
    """A recording cannot be made into one file; the text says why."""


class ExportRefusedError(ExportError):
    """Nothing is begun: it is recorded still, its files are elsewhere, or there is no room; this text says so."""


class PlaybackRefusedError(StreamdError):
    """A viewer who may not watch.

    Args:
        status: HTTP status of the answer: 401, 403, 410, 429, 451 or 503.
        reason: One word for metrics and the log.
        text: For the viewer; it has nothing of what they showed.
        link: ``Link`` field of the answer (RFC 7725 section 4); empty for none.
    """

    def __init__(self, status: int, reason: str, text: str, *, link: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.link = link


class ModerationError(StreamdError):
    """An act of moderation that cannot be done; the text is for whoever asked."""


class TargetRefusedError(ModerationError):
    """A text that names nothing of this server, such as a URL of another site."""


class TargetNotFoundError(ModerationError):
    """A key, recording or clip that there is not."""


class TakedownNotFoundError(ModerationError):
    """A takedown, block or order that there is not."""


class ModerationStateError(ModerationError):
    """A request that does not go with how things stand; the text says why."""


class BlockError(ModerationError):
    """A block that cannot be.

    Args:
        field: Name of its part.
        message: What is wrong with it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class OrderError(ModerationError):
    """An authority's order that lacks something, or says what cannot be.

    Args:
        field: Name of its part.
        message: What is wrong with it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class StatementError(ModerationError):
    """A statement of reasons that lacks something, or says what cannot be.

    Args:
        field: Name of the field in the statement's JSON.
        message: What is wrong with it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class ReportRefusedError(ModerationError):
    """A report or an appeal that cannot be taken as it is; the text says why."""


class TooManyReportsError(ModerationError):
    """An address has reported more than it may.

    Args:
        wait_s: Seconds until the next is taken.
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__("many reports came from your address: wait before the next")
        self.wait_s = wait_s


class ReportsBusyError(ModerationError):
    """So many reports wait to be written that one more has to be sent later."""

    def __init__(self) -> None:
        super().__init__("many reports come at this moment: send it again in a few seconds")


class ReporterSuspendedError(ModerationError):
    """Reports from there are not looked at for a while: they were unfounded, and went on after a warning."""


class CaseNotFoundError(ModerationError):
    """There is no such case, report, decision or appeal, or the token that was shown is not its own."""


class CaseStateError(ModerationError):
    """The case or appeal is in a state that does not allow it: somebody else has it, or has decided it."""


class OwnDecisionError(ModerationError):
    """An appeal against somebody's decision, which somebody else has to decide."""


class PlaybackKeyNotFoundError(StreamdError):
    """There is no such playback key."""

    def __init__(self) -> None:
        super().__init__("there is no playback key with this id")


class LocalStateError(StreamdError):
    """Our own caller used an object out of turn (h11's ``LocalProtocolError``)."""


class PublishError(StreamdError):
    """A publish that is refused; carries the answer for the peer.

    Attributes:
        status_code: ``code`` of the ``onStatus`` information object.
        description: Text for the person at the encoder; it never names the reason a key was refused.
        result: One word for metrics.
        limit: Key in ``[limits]`` of the bound that was reached; empty where none was.
    """

    result = "rejected"
    status_code = "NetStream.Publish.Rejected"
    description = "The server cannot take this stream now. Try again later."

    def __init__(self, description: str | None = None, *, limit: str = "") -> None:
        super().__init__(description or self.description)
        self.limit = limit
        if description is not None:
            self.description = description


class ServerRestartsError(PublishError):
    """The server goes, and the next one takes its place within moments: the publisher is to come back.

    The code is the one that says nothing against the stream or its key (ActionScript 3, NetStatusEvent). Encoders
    connect again because the socket is closed; the description is for whoever reads the encoder's log.
    """

    result = "restarting"
    status_code = "NetConnection.Connect.Closed"
    description = "The server restarts. Connect again in a moment."


class NameUnknownError(PublishError):
    """It cannot be known whether the channel is another node's."""

    result = "unavailable"
    description = "The servers cannot agree on who has this channel now. Try again in a moment."


class ClusterUnavailableError(StreamdError):
    """What the nodes share cannot be asked."""


class NodeNotFoundError(StreamdError):
    """There is no node of this name whose lease has not run out."""

    def __init__(self, node: str) -> None:
        super().__init__(f"there is no node {node}: streamd nodes list shows those that there are")


class ConflictError(StreamdError):
    """Another node was first: the entry is not the one that was read."""


class ActError(StreamdError):
    """A message of the bus that is no act."""


class AlreadyPublishingError(PublishError):
    """The channel is live from another connection."""

    result = "busy"
    status_code = "NetStream.Publish.BadName"
    description = "This channel is already live from another encoder."


class PlaceTakenError(PublishError):
    """A connection that was silent, and whose key has come back on another one."""

    result = "taken_over"
    description = "This connection was silent, and the same stream key has come back on another one."


class KeyRejectedError(PublishError):
    """The stream key does not open a channel.

    Unknown, expired and revoked keys and suspended users look alike from outside; ``reason`` is
    for the log and the metrics alone.
    """

    result = "denied"
    status_code = "NetStream.Publish.Denied"
    description = "The stream key is not valid. Check the key in your encoder's settings."

    def __init__(self, reason: str, key_id: str | None = None, *, is_known: bool = True) -> None:
        super().__init__()
        self.reason = reason
        self.key_id = key_id
        self.is_known = is_known
        """A key with this id exists; a guesser's id is made up."""


class NoStreamKeyError(KeyRejectedError):
    """A publish without a stream key; its answer says so, which tells nobody anything about a key."""

    description = "No stream key was given. Enter the stream key in your encoder's settings."


class KeyUsedTooOftenError(KeyRejectedError):
    """A good key that has published too often lately; its answer says so."""

    status_code = "NetStream.Publish.Rejected"
    description = "This stream key has gone live too often within a minute. Wait a minute, then try again."


class PublishForbiddenError(PublishError):
    """The operator's publish hook says no."""

    result = "forbidden"
    status_code = "NetStream.Publish.Denied"
    description = "You may not go live here now. Ask whoever gave you the stream key."


class PublishUndecidedError(PublishError):
    """The operator's publish hook does not answer, and its consent is required."""

    result = "undecided"


class HookAnswerError(StreamdError):
    """The publish hook's answer decides nothing; the text has nothing of what a publisher showed."""


class ReceiverUnreachableError(StreamdError):
    """A request of ours got no answer, or one that asks for a later attempt.

    Args:
        reason: The reason, in a line.
        retry_after_s: Seconds until the receiver wants to be asked again; 0 if it did not say.
    """

    def __init__(self, reason: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class KeyServiceError(StreamdError):
    """The key service cannot carry out a request."""


class KeyNotFoundError(KeyServiceError):
    """No key has this id."""

    def __init__(self, key_id: str | None = None) -> None:
        # None: the text does not have the form of an id. It may be a whole key, and is not repeated.
        super().__init__("that is not the id of a stream key" if key_id is None else f"no stream key has id {key_id}")
        self.key_id = key_id


class UserNotFoundError(KeyServiceError):
    """No user has this name."""

    def __init__(self, user: str | None = None) -> None:
        # None: the text does not have the form of a name, and is not repeated.
        super().__init__("that is not the name of a user" if user is None else f"no user is named {user}")
        self.user = user


class KeyRequestError(KeyServiceError):
    """A request to the key service breaks a rule: a name, a label, a date, a duration."""


class ImportRefusedError(KeyRequestError):
    """Keys that cannot be imported; none of them was.

    Attributes:
        faults: One line for each fault, with its place and without the secret.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("nothing was imported")
        self.faults = list(faults)


class KeyStateError(KeyServiceError):
    """The key is in a state that does not allow it: a revoked key cannot be rotated."""


class StoreUnavailableError(KeyServiceError):
    """The key store cannot be reached, read or written."""


class OperatorError(StreamdError):
    """A request to the operators that cannot be met; the text is for the asker."""


class OperatorNotFoundError(OperatorError):
    """No operator has this name."""

    def __init__(self, name: str | None = None) -> None:
        # None: the text does not have the form of a name, and is not repeated.
        super().__init__("that is not the name of an operator" if name is None else f"no operator is named {name}")


class OperatorRequestError(OperatorError):
    """A name, a date or a reason that cannot be."""


class OperatorStateError(OperatorError):
    """The operator is in a state that does not allow it."""


class CodeRefusedError(OperatorError):
    """The code of an authenticator is missing, is not right, or was used before."""


class CodesSpentError(OperatorError):
    """Too many wrong codes; the next is looked at later.

    Args:
        wait_s: Seconds until then.
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__("too many wrong codes; wait before the next")
        self.wait_s = wait_s


class ConfigError(StreamdError):
    """Every fault of the configuration, together.

    Attributes:
        faults: One line for each fault: its place, the fault, the correct form.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class DataDirError(StreamdError):
    """The data directory cannot be used: not writable, or another server runs on it."""


class RestreamError(StreamdError):
    """A target that cannot be.

    Args:
        field: Name of its part.
        message: What is wrong with it; nothing of a stream key.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class RestreamTargetNotFoundError(StreamdError):
    """There is no such target."""

    def __init__(self, target_id: str) -> None:
        super().__init__(f"there is no target {target_id}")


class SecretsError(StreamdError):
    """The keys under which secrets are kept do not do; the text has nothing of them."""
