"""The part of the configuration that the rooms of moderation are told; loaded where moderation is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.process.options import told
from streamd.services.moderation.machine.assistance import AssistanceOptions
from streamd.services.moderation.machine.assistant import AssistantOptions
from streamd.services.moderation.machine.findings import EXPOSED
from streamd.services.moderation.machine.scan import ScanMode, ScanOptions
from streamd.services.moderation.machine.sight import NUDENET, SightOptions
from streamd.services.moderation.options import ModerationOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.process.config import Config


def moderation_options(config: Config) -> ModerationOptions:
    """What is reported and taken down."""
    moderation = config.moderation
    return told(
        ModerationOptions(),
        moderation,
        hash_lists=tuple(moderation.hash_lists),
        trusted_flaggers=tuple(moderation.trusted_flaggers),
        purge_urls=tuple(moderation.purge_urls),
    )


def sight_options(config: Config, hashes: Sequence[str] = (), *, words: bool) -> SightOptions:
    """What pictures are compared with and scored by.

    Args:
        config: All of the configuration.
        hashes: Those that are blocked here.
        words: Whether words are read, where the configuration has nothing against it.
    """
    moderation = config.moderation
    return SightOptions(
        lists=tuple(moderation.hash_lists),
        hashes=tuple(hashes),
        classifier=moderation.classifier,
        words=words and moderation.read_words,
    )


def assistance_options(config: Config) -> AssistanceOptions:
    """What counts as found in a picture."""
    moderation = config.moderation
    labels = tuple(moderation.classifier_labels)
    if not labels and moderation.classifier == NUDENET:
        labels = EXPOSED
    return AssistanceOptions(labels=labels, threshold=moderation.classifier_score_min)


def scan_options(config: Config) -> ScanOptions:
    """Which pictures are looked at that nobody has reported."""
    moderation = config.moderation
    return ScanOptions(mode=ScanMode(moderation.scan), pictures_per_s=moderation.scan_pictures_per_s)


def assistant_options(config: Config) -> AssistantOptions | None:
    """The service that may suggest something; None where there is none."""
    moderation = config.moderation
    if not moderation.assistant_url:
        return None
    key = moderation.assistant_key.get_secret_value()
    return AssistantOptions(moderation.assistant_url, key=key, model=moderation.assistant_model)
