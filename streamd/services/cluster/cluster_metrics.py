"""The figures of a node of a cluster; made with the cluster, so that a single server has none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from streamd.services.cluster.act import NodeAnswer
from streamd.services.cluster.permit import Standing

if TYPE_CHECKING:
    from streamd.services.metrics import Metrics


class ClusterMetrics:
    """What a node counts.

    Args:
        metrics: Those of the server, among which these are shown.
    """

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self.nodes = Gauge(
            "streamd_cluster_nodes", "Nodes whose lease has not run out, this one included.", registry=registry
        )
        self.standing = Gauge(
            "streamd_cluster_standing",
            "1 for the right by which this node serves: leased, database, alone or none.",
            ["standing"],
            registry=registry,
        )
        self.channels = Gauge("streamd_cluster_channels", "Channels that are live at any node.", registry=registry)
        self.feeds = Gauge(
            "streamd_cluster_feeds", "Channels of other nodes that are followed here.", registry=registry
        )
        self.followers = Gauge(
            "streamd_cluster_followers", "Feeds of this node's channels to other nodes.", registry=registry
        )
        self.acts_total = Counter(
            "streamd_cluster_acts_total",
            "Answers of other nodes to acts that this one told.",
            ["answer"],
            registry=registry,
        )
        self.act_seconds = Histogram(
            "streamd_cluster_act_seconds",
            "From telling an act to the last answer.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        self.lost_total = Counter(
            "streamd_cluster_channels_lost_total", "Channels that another node took from this one.", registry=registry
        )
        for answer in NodeAnswer:
            self.acts_total.labels(answer.value)
        for standing in Standing:
            self.standing.labels(standing.value)
