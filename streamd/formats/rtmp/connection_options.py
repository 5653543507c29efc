"""The limits and sizes of one RTMP connection, as its owner sets them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from streamd.formats.amf.values import DEFAULT_LIMITS, Limits
from streamd.formats.rtmp.chunk import DEFAULT_CHUNK_LIMITS, ChunkLimits
from streamd.limits import DEFAULT

LOGIN_READ_BYTES_MAX = 16 * 1024
"""Bytes to read at once of a peer whose publish is not accepted: more than any login. Media that an encoder sends
behind its publish without waiting for the answer stays in the kernel."""
# Of a peer whose publish is not accepted. Encoders name 2 to 4 chunk streams until then; each takes 0.3 kB.
_LOGIN_CHUNK_STREAMS_MAX = 16
# The same. Enhanced RTMP's ``connect`` has some 80 values and names, two levels deep.
_LOGIN_AMF_DEPTH_MAX = 8
_LOGIN_AMF_VALUES_MAX = 512


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The options of one connection, set by its owner."""

    chunk_size: int = 65_536
    """Bytes in our chunks. Encoders that adopt it for theirs (FFmpeg) cost us less; MediaMTX says the same."""
    window_bytes: int = 2_500_000
    """Window Acknowledgement Size and Set Peer Bandwidth we announce, and how often we acknowledge while
    the peer has not said how often it wants it. SRS, MediaMTX, librtmp and GStreamer use the same."""
    command_bytes_max: int = DEFAULT.command_bytes_max
    """Longest command or data message. The longest in the field is FMLE's metadata with XMP, 20 KB."""
    pending_bytes_max: int = DEFAULT.pending_bytes_max
    """Bytes from the end of the handshake until a publish is accepted, and so all that we hold until then. Encoders
    send 1 to 2 kB, and then wait. There is room for the media of one that does not wait: the owner reads
    ``LOGIN_READ_BYTES_MAX`` at most, and nothing more while a publish is decided."""
    pending_messages_max: int = DEFAULT.pending_messages_max
    """Messages in the same time. A login has fewer than 20."""
    chunk_limits: ChunkLimits = DEFAULT_CHUNK_LIMITS
    """Of a peer whose publish was accepted; until then ``login_chunk_limits`` follow from them."""
    amf_limits: Limits = DEFAULT_LIMITS
    """How much AMF may ask of the reader; what was used up comes back with the bytes that the peer sends."""

    @property
    def login_chunk_limits(self) -> ChunkLimits:
        """The limits of the chunk stream of a peer whose publish is not accepted."""
        limits, bytes_max = self.chunk_limits, self.pending_bytes_max
        return ChunkLimits(
            message_bytes_max=min(limits.message_bytes_max, bytes_max),
            chunk_streams_max=min(limits.chunk_streams_max, _LOGIN_CHUNK_STREAMS_MAX),
            held_bytes_max=min(limits.held_bytes_max, bytes_max),
            chunk_size_min=limits.chunk_size_min,
            messages_per_read_max=min(limits.messages_per_read_max, self.pending_messages_max),
            keeps_media=False,
            message_limit="pending_bytes_max" if bytes_max < limits.message_bytes_max else "message_bytes_max",
            partial_limit="pending_bytes_max" if bytes_max < limits.held_bytes_max else "held_bytes_max",
            messages_limit="pending_messages_max",
        )

    @property
    def login_amf_limits(self) -> Limits:
        """How much a login's AMF may ask of the reader."""
        limits = self.amf_limits
        return replace(
            limits,
            amf_depth_max=min(limits.amf_depth_max, _LOGIN_AMF_DEPTH_MAX),
            amf_values_max=min(limits.amf_values_max, _LOGIN_AMF_VALUES_MAX),
        )


DEFAULT_OPTIONS = ConnectionOptions()
