"""``streamd obs-config``: what to paste into OBS for several video tracks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamd.errors import DataDirError, StreamdError
from streamd.process.cli.arguments import User, config_options, load
from streamd.process.cli.ask import on_keys
from streamd.process.cli.need import Need
from streamd.process.cli.output import say
from streamd.services.keys.records import SERVER_LIMITS, KeyState, PublishLimits
from streamd.services.obs.ladder import Canvas, NoRungFitsError, Preferences, go_live_config

if TYPE_CHECKING:
    from streamd.process.key_desk import KeyDesk

_INSTRUCTIONS = """\
In OBS 31 or later, Settings, Stream:
  Service                 Custom...
  Server                  {servers}
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

    The tracks are the ladder of the configuration, section [obs], without what USER may not send ('streamd users limit'
    and section [limits]). On stdout is the JSON, on stderr where it goes.
    """
    config = load(config_file, data_dir)
    options = config.obs_options
    if not options.ladder:
        raise StreamdError("obs.ladder is empty: nothing is offered to OBS")
    try:
        has_key, limits = on_keys(config, Need.READ, lambda desk: _ask(desk, user))
    except DataDirError as exc:
        # The ladder is the configuration's, and can be shown before there is a key.
        say(str(exc))
        has_key, limits = False, SERVER_LIMITS
    preferences = Preferences(canvases=(canvas,))
    try:
        answer = go_live_config(options, preferences, frozenset(), limits)
    except NoRungFitsError as exc:
        raise StreamdError(
            f"no rung of obs.ladder is within what {user} may send, {exc}; add a smaller one, or allow more: "
            f"streamd users limit {user}"
        ) from exc
    click.echo(json.dumps(answer.as_json(), indent=2))
    click.echo(_INSTRUCTIONS.format(servers=", or ".join(config.rtmp_urls), user=user), err=True)
    unlimited = go_live_config(replace(options, limits=SERVER_LIMITS), preferences, frozenset())
    if left_out := [
        f"{track.width}x{track.height} at {track.settings['bitrate']} kb/s"
        for track in unlimited.encoder_configurations
        if track not in answer.encoder_configurations
    ]:
        say(f"left out, for it is more than {user} may send: {', '.join(left_out)}")
    if not has_key:
        say(f"{user} has no key that works; make one: streamd keys issue {user}")


async def _ask(desk: KeyDesk, name: str) -> tuple[bool, PublishLimits]:
    """Whether a user has a key that works, and what the user may send."""
    keys, user = await desk.list_keys(name), await desk.find_user(name)
    limits = PublishLimits(**user.limits.model_dump()) if user else SERVER_LIMITS
    return any(key.state is KeyState.ACTIVE for key in keys), limits
