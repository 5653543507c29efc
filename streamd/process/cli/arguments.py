"""The input of the commands: types of arguments, and the options that several of them share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from streamd.process.cli.offering import offer_keys, offer_streams, offer_users
from streamd.process.config import Config, find_config, load_config
from streamd.services.keys.records import USER_NAME
from streamd.services.keys.stream_key import StreamKey, is_key_id
from streamd.services.recording.recording_id import is_recording_id
from streamd.services.ulid import PATTERN

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_TARGET_ID = re.compile(rf"tgt_{PATTERN}")

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Duration(click.ParamType[timedelta]):
    """A length of time, as people write it: ``30d``, ``1h30m``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it."""
        if isinstance(value, timedelta):
            return value
        if not re.fullmatch(r"(\d{1,6}[smhdw])+", value):
            self.fail("write a number and a unit of s, m, h, d or w, for example 30d or 1h30m", param, ctx)
        pieces = re.findall(r"(\d+)([smhdw])", value)
        return timedelta(seconds=sum(int(number) * _UNIT_SECONDS[unit] for number, unit in pieces))


class User(click.ParamType[str]):
    """The name of a user, and so of a channel."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        if not USER_NAME.fullmatch(value):
            self.fail("2 to 64 small letters, digits, '-' and '_', beginning with a letter or digit", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the users that there are."""
        del param
        return offer_users(ctx, incomplete)


class Watched(User):
    """The name of a channel, or the id of a recording."""

    name = "channel or recording"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        return str(value) if is_recording_id(value) else super().convert(value, param, ctx)


class TargetId(click.ParamType[str]):
    """The id of a target."""

    name = "target"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        if not _TARGET_ID.fullmatch(value):
            self.fail("the id of a target begins with tgt_; `streamd targets list USER` shows it", param, ctx)
        return str(value)


class StreamName(User):
    """The name of a live stream, which is its user's."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the streams that are live."""
        del param
        return offer_streams(ctx, incomplete)


class KeyId(click.ParamType[str]):
    """The id of a stream key."""

    name = "key_id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        # An operator who has only the key itself means the key with its id.
        if (stream_key := StreamKey.parse(value)) is not None:
            return stream_key.key_id
        if not is_key_id(value):
            self.fail("not a key id; 'streamd keys list' shows them", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the keys that work."""
        del param
        return offer_keys(ctx, incomplete)


def config_options(command: _Command) -> _Command:
    """``--config`` and ``--data-dir``."""
    for option in (
        click.option(
            "--data-dir",
            type=click.Path(path_type=Path),
            metavar="DIRECTORY",
            help="Directory of the key database and the admin token; beats the configuration.",
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Configuration file. Without: $STREAMD_CONFIG, ./streamd.toml or /etc/streamd/streamd.toml.",
        ),
    ):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def load(config_file: Path | None, data_dir: Path | None) -> Config:
    """Read the configuration that ``config_options`` name, and the environment over it."""
    return load_config(config_file or find_config(os.environ), environ=os.environ, data_dir=data_dir)
