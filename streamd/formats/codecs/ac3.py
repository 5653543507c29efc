"""The syncframes of AC-3 and Enhanced AC-3, which have no sequence header (ETSI TS 102 366, 4.3 and E.1.2).

Dolby's codecs describe themselves in every frame. One tag is one frame ("Body contains … audio sync frame").
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs.bits import BitReader

_SYNC_WORD = b"\x0b\x77"
# Up to the field that is read last: bsid of E-AC-3, in bits 40 to 44; lfeon of AC-3 comes a little later.
_BYTES_READ = 8
_BSID_BYTE = 5
# 4.3.3: half and quarter sample rates have other numbers; decoders that know AC-3 alone do not take them.
_BSID_AC3_MAX = 8
_BSID_EAC3 = range(11, 17)
_SAMPLE_RATES = (48_000, 44_100, 32_000)
# Table 4.3, full bandwidth channels by acmod.
_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)
_ACMOD_STEREO = 2
_BLOCK_SAMPLES = 256
_FRAME_BLOCKS = 6
FRAME_SAMPLES = _FRAME_BLOCKS * _BLOCK_SAMPLES
# Table E.1.3, numblkscod: 1, 2, 3 or 6 blocks.
_NUMBLKSCOD_SIX = 3


@dataclass(frozen=True, slots=True)
class Ac3Frame:
    """The facts in the head of a syncframe, which has ``FRAME_SAMPLES`` samples."""

    sample_rate: int
    channels: int
    """Counts the channel for low frequencies, too."""


def parse_ac3(frame: bytes) -> Ac3Frame:
    """Read the start of an AC-3 syncframe.

    Raises:
        CodecConfigError: It is none.
    """
    if _bsid(frame) > _BSID_AC3_MAX:
        raise CodecConfigError(f"an AC-3 frame with bsid {_bsid(frame)}")
    reader = BitReader(frame[4:_BYTES_READ])  # behind the sync word and crc1
    sample_rate = _sample_rate(reader.read(2))
    reader.read(14)  # frmsizecod, bsid, bsmod
    acmod = reader.read(3)
    if acmod & 1 and acmod != 1:
        reader.read(2)  # cmixlev
    if acmod & 4:
        reader.read(2)  # surmixlev
    if acmod == _ACMOD_STEREO:
        reader.read(2)  # dsurmod
    return Ac3Frame(sample_rate, _CHANNELS[acmod] + reader.read(1))


def parse_eac3(frame: bytes) -> Ac3Frame:
    """Read the start of an Enhanced AC-3 syncframe.

    Raises:
        UnsupportedCodecError: It has fewer than six blocks, so that several make one sample of MP4.
        CodecConfigError: It is none.
    """
    if _bsid(frame) not in _BSID_EAC3:
        raise CodecConfigError(f"an E-AC-3 frame with bsid {_bsid(frame)}")
    reader = BitReader(frame[2:_BYTES_READ])  # behind the sync word
    reader.read(16)  # strmtyp, substreamid, frmsiz
    sample_rate = _sample_rate(reader.read(2))
    if reader.read(2) != _NUMBLKSCOD_SIX:
        raise UnsupportedCodecError("ec-3 with short frames")
    acmod = reader.read(3)
    return Ac3Frame(sample_rate, _CHANNELS[acmod] + reader.read(1))


def _bsid(frame: bytes) -> int:
    """Return bsid, which stands in the same place in AC-3 and E-AC-3, and tells them apart."""
    if len(frame) < _BYTES_READ or not frame.startswith(_SYNC_WORD):
        raise CodecConfigError("no AC-3 sync word")
    return frame[_BSID_BYTE] >> 3


def _sample_rate(fscod: int) -> int:
    if fscod >= len(_SAMPLE_RATES):
        raise CodecConfigError(f"an AC-3 frame with fscod {fscod}")
    return _SAMPLE_RATES[fscod]
