"""AudioSpecificConfig, the body of an AAC sequence header (ISO/IEC 14496-3, 1.6.2.1 and 4.4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs.bits import BitReader

_SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_RATE_INDEX_EXPLICIT = 15
# The table ends at 96 kHz and at 7,350 Hz; an explicit 24-bit rate above twice the one (SBR), or below the other, is no
# sample rate.
_SAMPLE_RATES_ALLOWED = range(7_350, 192_001)

_AOT_ESCAPE = 31
_AOT_MAIN = 1
_AOT_LC = 2
_AOT_SSR = 3
_AOT_LTP = 4
_AOT_SBR = 5
_AOT_PS = 29
_CORE_OBJECT_TYPES = frozenset({_AOT_MAIN, _AOT_LC, _AOT_SSR, _AOT_LTP})

# Every field we read stands in the first 16 bytes, but for a program_config_element, which adds up to 40.
_BYTES_READ_MAX = 64

_SYNC_EXTENSION_TYPE = 0x2B7
_SYNC_EXTENSION_PS = 0x548

# Table 1.19, channelConfiguration; 0 says that a program_config_element tells.
_CHANNELS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
# Chromium (156) takes no initialization section with another one, nor with a program_config_element.
_CHANNEL_CONFIGURATION_MAX = 7


@dataclass(frozen=True, slots=True)
class AudioSpecificConfig:
    """The facts in an AudioSpecificConfig about the access units that follow.

    HE-AAC: an access unit is coded at ``core_rate`` and decodes to ``output_rate``, twice that where SBR is
    announced here (explicit signalling). Where it is not (implicit signalling), everything counts at the core's
    rate, as the record says, and a decoder that finds SBR doubles rate and samples alike: an access unit lasts
    ``frame_ticks / output_rate`` seconds either way.
    """

    object_type: int
    """Audio object type: 2 AAC-LC, 5 HE-AAC (SBR), 29 HE-AAC v2 (SBR and PS)."""
    core_rate: int
    """Sample rate of the AAC core, Hz."""
    output_rate: int
    """Sample rate that the record announces for the decoder's output, Hz."""
    channels: int
    """Channels of the core."""
    core_frame_samples: int
    """Samples in an access unit at ``core_rate``: 1024, or 960."""
    browsers_refuse: str = ""
    """The form of it for which browsers refuse the whole stream, pictures included, in words; empty for most."""

    @property
    def codec_string(self) -> str:
        """RFC 6381: ``mp4a.40.`` and the audio object type."""
        return f"mp4a.40.{self.object_type}"

    @property
    def frame_ticks(self) -> int:
        """Samples in an access unit at ``output_rate``."""
        # Exact for what SBR allows: the output is the core's rate or twice that.
        return self.core_frame_samples * self.output_rate // self.core_rate


def parse(record: bytes) -> AudioSpecificConfig:
    """Read an AudioSpecificConfig.

    Raises:
        UnsupportedCodecError: An audio object type whose frames we cannot count (USAC, ELD…).
        CodecConfigError: Truncated, or with values that the tables reserve.
    """
    reader = BitReader(record[:_BYTES_READ_MAX])
    object_type = _read_object_type(reader)
    core_rate = output_rate = _read_sample_rate(reader)
    channel_configuration = reader.read(4)
    if channel_configuration not in _CHANNELS:
        raise CodecConfigError(f"AudioSpecificConfig with channelConfiguration {channel_configuration}")
    core_type = object_type
    if object_type in (_AOT_SBR, _AOT_PS):
        output_rate = _read_sample_rate(reader)
        core_type = _read_object_type(reader)
    if core_type not in _CORE_OBJECT_TYPES:
        raise UnsupportedCodecError(f"mp4a.40.{core_type}")
    core_frame_samples = _read_ga_specific_config(reader)
    channels = _CHANNELS[channel_configuration]
    if not channel_configuration:
        # An extension behind it may be ignored: without it the record is AAC-LC with implicit signalling.
        channels = _read_program_config(reader)
    elif object_type == core_type:
        extended_type, extended_rate = _read_sync_extension(reader)
        if extended_type:
            object_type, output_rate = extended_type, extended_rate
    if output_rate not in (core_rate, 2 * core_rate):
        raise CodecConfigError(f"SBR from {core_rate} to {output_rate} Hz")
    refused = ""
    if not channel_configuration:
        refused = f"{channels} channels told by a program config element"
    elif channel_configuration > _CHANNEL_CONFIGURATION_MAX:
        refused = f"{channels} channels as channelConfiguration {channel_configuration} has them"
    return AudioSpecificConfig(object_type, core_rate, output_rate, channels, core_frame_samples, refused)


def _read_object_type(reader: BitReader) -> int:
    object_type = reader.read(5)
    return 32 + reader.read(6) if object_type == _AOT_ESCAPE else object_type


def _read_sample_rate(reader: BitReader) -> int:
    index = reader.read(4)
    if index == _RATE_INDEX_EXPLICIT:
        rate = reader.read(24)
    elif index < len(_SAMPLE_RATES):
        rate = _SAMPLE_RATES[index]
    else:
        raise CodecConfigError(f"AudioSpecificConfig with samplingFrequencyIndex {index}")
    if rate not in _SAMPLE_RATES_ALLOWED:
        raise CodecConfigError(f"AudioSpecificConfig with a sample rate of {rate} Hz")
    return rate


def _read_ga_specific_config(reader: BitReader) -> int:
    """Read GASpecificConfig up to its extension flag and return the samples in a frame."""
    # 4.5.1.1: "frameLengthFlag: … if set to 0 a 1024 lines IMDCT is used …, if set to 1 a 960 line IMDCT".
    core_frame_samples = 960 if reader.read(1) else 1024
    if reader.read(1):  # dependsOnCoreCoder
        reader.read(14)  # coreCoderDelay
    reader.read(1)  # extensionFlag
    return core_frame_samples


def _read_program_config(reader: BitReader) -> int:
    """Read a program_config_element (4.4.1.1) as far as it says how many channels there are."""
    reader.skip(10)  # element_instance_tag, object_type, sampling_frequency_index
    # num_front, num_side and num_back_channel_elements.
    speakers = sum(reader.read(4) for _ in range(3))
    effects = reader.read(2)  # num_lfe_channel_elements
    reader.skip(7)  # num_assoc_data_elements, num_valid_cc_elements
    for bits in (4, 4, 3):  # mono, stereo and matrix mixdown
        reader.skip(bits if reader.read(1) else 0)
    channels = effects
    for _ in range(speakers):
        channels += 1 + reader.read(1)  # element_is_cpe: a pair
        reader.skip(4)  # element_tag_select
    if not channels:
        raise CodecConfigError("AudioSpecificConfig without channels")
    return channels


def _read_sync_extension(reader: BitReader) -> tuple[int, int]:
    """Read the backward compatible announcement of SBR; return its object type and rate, zeros for none.

    1.6.6.1: it stands behind the record, where a decoder that knows AAC-LC alone does not look. OBS writes it
    to say that there is no SBR (``56 e5 00``).
    """
    if reader.bits_left < 17 or reader.read(11) != _SYNC_EXTENSION_TYPE:
        return 0, 0
    if _read_object_type(reader) != _AOT_SBR or not reader.read(1):
        return 0, 0
    output_rate = _read_sample_rate(reader)
    has_ps = reader.bits_left >= 12 and reader.read(11) == _SYNC_EXTENSION_PS and reader.read(1)
    return (_AOT_PS if has_ps else _AOT_SBR), output_rate
