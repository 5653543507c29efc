"""The steps between a listener and its protocols: PROXY headers, certificates, TLS handshakes."""
