"""streamd: a live-streaming server. RTMP in with per-user stream keys, low-latency HLS out."""

__version__ = "0.1.0"
