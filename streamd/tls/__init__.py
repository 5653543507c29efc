"""What RTMPS and HTTPS have in common: the certificate, and the handshake before there is a connection to speak of."""
