"""``streamd secrets``: the key under which secrets lie in the database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamd.process.cli.arguments import config_options, load
from streamd.process.loading import loading

if TYPE_CHECKING:
    from streamd.process.config import Config


@click.group("secrets")
def secrets_group() -> None:
    """Look after the key under which stream keys of targets lie in the database."""


@secrets_group.command("rotate")
@config_options
def rotate(config_file: Path | None, data_dir: Path | None) -> None:
    """Lock all secrets with a new key, and forget the old ones.

    Works on the database and the file of the key; a server that runs takes the new one at its next use.
    """
    config = load(config_file, data_dir)
    count = asyncio.run(_rotate(config))
    what = "1 secret is" if count == 1 else f"{count} secrets are"
    click.echo(f"{what} locked with a new key in {config.secret_key_file}. Keep a copy of it apart from the database.")


async def _rotate(config: Config) -> int:
    """Lock anew; at every moment the file opens all that is in the database."""
    with loading():
        from streamd.process.secret_key import keep_keys, load_keys
        from streamd.services.restream.secret_box import SecretBox, new_secret_key
        from streamd.services.restream.target_store import TargetStore
        from streamd.services.store.database import Database

    path = config.secret_key_file
    keys = load_keys(path)
    new = new_secret_key()
    database = Database(config.database_url)
    await database.start()
    try:
        keep_keys(path, [new, *keys])
        box = SecretBox([new, *keys])
        count = await TargetStore(database, lambda: box).lock_anew(box)
        keep_keys(path, [new])
    finally:
        await database.close()
    return count
