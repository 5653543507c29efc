"""What stands between a listener and its protocols: what a proxy says of its client, certificates, TLS handshakes."""
