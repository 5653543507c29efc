"""All checks, in the order in which one would look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamd.errors import DataDirError
from streamd.process.data_dir import find_server
from streamd.process.doctor.buckets import check_storage
from streamd.process.doctor.certificates import check_certificates
from streamd.process.doctor.cluster import check_cluster
from streamd.process.doctor.data_directory import check_data_directory
from streamd.process.doctor.installation import check_compiled, check_demuxer, check_player
from streamd.process.doctor.machine import check_clock, check_open_files
from streamd.process.doctor.pictures import check_pictures
from streamd.process.doctor.ports import check_ports
from streamd.process.doctor.receivers import check_receivers
from streamd.process.doctor.recordings import check_recordings
from streamd.process.doctor.sight import check_sight
from streamd.process.doctor.stores import check_database

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.process.config import Config
    from streamd.process.doctor.check_result import CheckResult


def examine(config: Config, now: datetime) -> Iterator[CheckResult]:
    """Look at everything that the server needs; blocks for as long as ports, disks and names take.

    Args:
        config: As the server would run with it.
        now: Wall time, aware.
    """
    try:
        server = find_server(config.data_dir)
    except DataDirError:
        server = None  # the check of the directory says why
    yield from check_data_directory(config.data_dir)
    yield check_database(config.database_url)
    yield from check_cluster(config)
    yield from check_recordings(config)
    yield from check_ports(config, server)
    yield from check_certificates(config, now)
    yield check_open_files(config, server)
    yield check_clock()
    yield check_player()
    yield check_compiled()
    yield check_demuxer(config)
    yield from check_pictures(config)
    yield from check_sight(config)
    yield from check_receivers(config)
    yield from check_storage(config)
