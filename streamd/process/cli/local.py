"""The key store, opened by a command where no server runs that it could ask.

It has its own file: all that keys, users and operators are kept with is loaded for it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from streamd.clock import SystemClock
from streamd.errors import DataDirError, StoreUnavailableError
from streamd.process.account import cli_actor
from streamd.process.cli.need import Need
from streamd.process.config import secrets_of
from streamd.process.config.sections import DATABASE_NAME
from streamd.process.data_dir import prepare_data_dir
from streamd.process.local_keys import LocalKeys
from streamd.process.log import configure_logging
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.operators.service import OperatorService
from streamd.services.recording.index import RecordingIndex

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streamd.process.config import Config


@contextlib.asynccontextmanager
async def local_keys(config: Config, need: Need) -> AsyncIterator[LocalKeys]:
    """Open the key store.

    Args:
        config: Where it is.
        need: The use that is made of it.

    Raises:
        DataDirError: There is no store, and none is to be made.
        StoreUnavailableError: It cannot be opened.
    """
    configure_logging("error", "console", secrets=secrets_of(config))
    if need is not Need.READ and (need is Need.MAKE or config.data_dir.exists()):
        prepare_data_dir(config.data_dir)
    store, clock = KeyStore(config.database_url, is_reading=need is Need.READ), SystemClock()
    try:
        try:
            await store.start(makes=need is Need.MAKE)
        except StoreUnavailableError as exc:
            if need is not Need.MAKE and not _has_store(config):
                raise DataDirError(
                    f"{exc}: is {config.data_dir} the server's data directory? 'streamd keys issue USER' makes one"
                ) from exc
            raise
        service = KeyService(store, clock, KeyVerifier(store, clock))
        operators = OperatorService(store.database, clock)
        recordings, by = RecordingIndex(store.database), cli_actor(os.environ)
        yield LocalKeys(service, config.rtmp_urls, recordings, clock, operators, by)
    finally:
        await store.close()


def _has_store(config: Config) -> bool:
    """Whether there is a file in which the keys could be; a database elsewhere is not looked for."""
    return bool(config.keys.database_url.get_secret_value()) or (config.data_dir / DATABASE_NAME).exists()
