"""The cluster: can NATS be used, and is this node's name its own?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streamd.errors import ClusterUnavailableError
from streamd.process.doctor.check_result import CheckResult, failed, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamd.process.config import Config


def check_cluster(config: Config) -> Iterator[CheckResult]:
    """Look at NATS, without making or changing anything there; nothing for a server that is alone."""
    cluster = config.cluster
    if not cluster.nats_url.get_secret_value():
        return
    # A server that is alone loads none of it.
    from streamd.doors.cluster.nats_link import look_at, parse_urls

    check, urls = "cluster.nats_url", parse_urls(cluster.nats_url.get_secret_value())
    try:
        nodes = asyncio.run(look_at(urls, cluster.nats_credentials_file))
    except ClusterUnavailableError as exc:
        yield failed(check, str(exc), "see that it runs, that its address is right, and that JetStream is switched on")
        return
    yield ok(check, f"NATS answers, with JetStream; {len(nodes)} nodes: {', '.join(sorted(nodes)) or 'none yet'}")
