"""Two self-signed certificates for ``localhost``, named "one" and "two" and good for a hundred years, for tests of TLS.

Made with ``openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=one -addext
subjectAltName=DNS:localhost``.
"""

from __future__ import annotations

from typing import NamedTuple


class Pem(NamedTuple):
    """A certificate and its private key."""

    cert: str
    key: str


ONE = Pem(
    """\
-----BEGIN CERTIFICATE-----
MIIBijCCAS+gAwIBAgIUF1TWfYfqdeCiOVAQE9EcxFBn1OAwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb25lMCAXDTI2MTEyMjAyMjMzOVoYDzIxMjYxMDI5MDIyMzM5
WjAOMQwwCgYDVQQDDANvbmUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARidjwN
SQ3FCP9AjbwdAb293JfYkU11J2wqinNA0ycrlubZPJ9Dv2RKyR4FmigpDSSMgQHL
IKqgnVM/1WA6zFzXo2kwZzAdBgNVHQ4EFgQUiN1ozqO5hvWRKQ0Fm93qHtEDS3Qw
HwYDVR0jBBgwFoAUiN1ozqO5hvWRKQ0Fm93qHtEDS3QwDwYDVR0TAQH/BAUwAwEB
/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwIDSQAwRgIhAPk7RrcM
SLRg6ZpQgC7aBPIJxKgd0qjWd6P7hPIys4M9AiEA5GBpbYICTiz4kk8fbCVHrAtE
LjsJpZBf3E0iuWex+64=
-----END CERTIFICATE-----
""",
    """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgKZNI0V4bMS87cZBB
zFpx6ALsSs2vQzcrLOCopnPFcGmhRANCAARidjwNSQ3FCP9AjbwdAb293JfYkU11
J2wqinNA0ycrlubZPJ9Dv2RKyR4FmigpDSSMgQHLIKqgnVM/1WA6zFzX
-----END PRIVATE KEY-----
""",
)
TWO = Pem(
    """\
-----BEGIN CERTIFICATE-----
MIIBiDCCAS+gAwIBAgIURqowv0gCCb8TI+EFkgOOrFk2k9IwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDdHdvMCAXDTI2MTEyMjAyMjMzOVoYDzIxMjYxMDI5MDIyMzM5
WjAOMQwwCgYDVQQDDAN0d28wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATrpctz
Zw1O/whX2/SHUigL3yMPVL2RuIDVhT0dmQKNHMaQWwJ8aaQFFrgleK5NSQCwaJbf
NxE0t0jty2uuF6BZo2kwZzAdBgNVHQ4EFgQUuHziFQXyWYdqAFHKqjXsN6Dj+a8w
HwYDVR0jBBgwFoAUuHziFQXyWYdqAFHKqjXsN6Dj+a8wDwYDVR0TAQH/BAUwAwEB
/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwIDRwAwRAIgN2N/KCKB
5G0n16WY8w/1gx07NHB4cJ0wPU2wRrdIwX8CIF3G6My2nVEkMAGZ6bqvqkopN4D5
bPOJYym1tawRLgnq
-----END CERTIFICATE-----
""",
    """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgcAY0jnB5tDuzjJYs
zWw+HpgYMnOkoWPOWJ9MZ7w9ge6hRANCAATrpctzZw1O/whX2/SHUigL3yMPVL2R
uIDVhT0dmQKNHMaQWwJ8aaQFFrgleK5NSQCwaJbfNxE0t0jty2uuF6BZ
-----END PRIVATE KEY-----
""",
)
# SHA-256 of the public key of ONE, Base64, by which Chromium can be told to trust it for QUIC: ``openssl x509 -pubkey
# -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64``.
ONE_KEY_HASH = "8lXdH684lV46hcIP8a71PVPKf/idrJ6sQv7Ip3cLEIY="
