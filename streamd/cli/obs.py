"""``streamd obs-config``: what to paste into OBS for several video tracks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from streamd.cli.arguments import User, config_options, load
from streamd.cli.ask import on_keys
from streamd.cli.output import say
from streamd.errors import StreamdError
from streamd.keys.records import KeyState
from streamd.web.obs_config import Canvas, Preferences, go_live_config

_INSTRUCTIONS = """\
In OBS 31 or later, Settings, Stream:
  Service                 Custom...
  Server                  {rtmp_url}
  Stream Key              the key of {user}, as 'streamd keys issue' printed it
  Enable Multitrack Video on
  Enable Config Override  on
  Config Override (JSON)  what stands above, all of it; there is no key in it\
"""


class CanvasSize(click.ParamType[Canvas]):
    """The size of a picture: ``1920x1080``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Canvas:
        """Read it."""
        if isinstance(value, Canvas):
            return value
        match = re.fullmatch(r"(\d{3,5})x(\d{3,5})", value)
        if match is None or max(int(match[1]), int(match[2])) > 16_384:
            self.fail("write width and height in pixels, for example 1920x1080", param, ctx)
        return Canvas(width=int(match[1]), height=int(match[2]))


@click.command("obs-config")
@click.argument("user", type=User())
@click.option(
    "--canvas",
    type=CanvasSize(),
    default="1920x1080",
    show_default=True,
    help="Settings, Video, Output (Scaled) Resolution of the user's OBS.",
)
@config_options
def obs_config(user: str, canvas: Canvas, config_file: Path | None, data_dir: Path | None) -> None:
    """Print what USER pastes into OBS to send several video tracks, which viewers choose from.

    The tracks are the ladder of the configuration, section [obs]. On stdout is the JSON, on stderr where it goes.
    """
    config = load(config_file, data_dir)
    options = config.obs_options
    if not options.ladder:
        raise StreamdError("obs.ladder is empty: nothing is offered to OBS")
    keys = on_keys(config, lambda desk: desk.list_keys(user))
    answer = go_live_config(options, Preferences(canvases=(canvas,)), frozenset())
    click.echo(json.dumps(answer.as_json(), indent=2))
    click.echo(_INSTRUCTIONS.format(rtmp_url=config.rtmp_url, user=user), err=True)
    if all(key.state is not KeyState.ACTIVE for key in keys):
        say(f"{user} has no key that works; make one: streamd keys issue {user}")
