"""The programs that ``configs/`` is for, each run for real in front of a server.

The configuration is the committed one, with the addresses, certificates and paths of this machine put into it. As root,
which is how CI runs, the programs are somebody else all the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import certificates
from tests.support.patience import PATIENCE_S
from tests.support.server import wait_until
from tests.support.tools import free_port, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.server import LiveServer

CONFIGS = Path(__file__).parents[2] / "configs"
# Who has not gone by then is killed.
GOODBYE_S = 10.0
# nobody and nogroup on Debian.
_NOBODY = 65534


@dataclass(frozen=True)
class Front:
    """A program in front of a server."""

    name: str
    http_port: int | None
    """Where it listens without TLS."""
    https_port: int | None
    """Where it listens with TLS, as ``localhost``, with ``certificates.ONE``."""


@contextlib.contextmanager
def nginx(server: LiveServer) -> Iterator[Front]:
    """nginx with ``configs/nginx.conf``."""
    require("nginx")
    http_port, https_port = free_port(), free_port()
    with _directory() as directory:
        # Where it would keep what does not fit its buffers is compiled in, and root's.
        kept = "".join(
            f"    {name}_temp_path {directory};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = _adapt(
            "nginx.conf",
            directory,
            {
                "user www-data;\n": "",
                "worker_rlimit_nofile 65536;\n": "",
                "http {\n": f"http {{\n{kept}",
                "127.0.0.1:8080;": f"127.0.0.1:{server.http_port};",
                "listen 80;": f"listen 127.0.0.1:{http_port};",
                "listen 443 ": f"listen 127.0.0.1:{https_port} ",
                "server_name live.example.org;": "server_name localhost;",
                "/etc/ssl/streamd/": f"{directory}/",
                "/dev/shm/streamd-cache": f"{directory}/cache",
                "/var/log/nginx/error.log": f"{directory}/error.log",
            },
        )
        directives = f"daemon off; pid {directory}/pid;"
        command = ["nginx", "-e", f"{directory}/error.log", "-g", directives, "-c", str(config)]
        with _running(command, directory, http_port):
            yield Front("nginx", http_port, https_port)


@contextlib.contextmanager
def caddy(server: LiveServer) -> Iterator[Front]:
    """Caddy with ``configs/Caddyfile``: HTTP/2, and HTTP/3 on the UDP port of the same number."""
    require("caddy")
    https_port, redirecting_port = free_port(), free_port()
    with _directory() as directory:
        config = _adapt(
            "Caddyfile",
            directory,
            {
                "live.example.org {": (
                    f"{{\n\tadmin off\n\thttp_port {redirecting_port}\n\tdefault_bind 127.0.0.1\n}}\n"
                    f"https://localhost:{https_port} {{"
                ),
                "# tls /etc/ssl/streamd/cert.pem /etc/ssl/streamd/key.pem": (
                    f"tls {directory}/cert.pem {directory}/key.pem"
                ),
                "127.0.0.1:8080 {": f"127.0.0.1:{server.http_port} {{",
            },
        )
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
        with _running(command, directory, https_port):
            yield Front("caddy", None, https_port)


@contextlib.contextmanager
def nginx_under(paths: Mapping[str, int]) -> Iterator[Front]:
    """nginx that publishes servers under paths of its site, as ``docs/operating.md`` says.

    Args:
        paths: Port on the loopback interface by path: ``{"/tv/": 8080}``.
    """
    require("nginx")
    http_port = free_port()
    locations = "".join(
        f"""
        location {path} {{
            proxy_pass http://127.0.0.1:{port}/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_buffering off;
            proxy_read_timeout 60s;
        }}"""
        for path, port in paths.items()
    )
    with _directory() as directory:
        kept = "".join(
            f"    {name}_temp_path {directory};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = directory / "nginx.conf"
        config.write_text(
            f"events {{}}\nhttp {{\n{kept}    access_log off;\n"
            f"    server {{\n        listen 127.0.0.1:{http_port};{locations}\n    }}\n}}\n"
        )
        directives = f"daemon off; pid {directory}/pid;"
        command = ["nginx", "-e", f"{directory}/error.log", "-g", directives, "-c", str(config)]
        with _running(command, directory, http_port):
            yield Front("nginx", http_port, None)


@contextlib.contextmanager
def caddy_under(paths: Mapping[str, int]) -> Iterator[Front]:
    """Caddy likewise."""
    require("caddy")
    http_port = free_port()
    handlers = "".join(
        f"\thandle_path {path}* {{\n\t\treverse_proxy 127.0.0.1:{port} {{\n\t\t\tflush_interval -1\n\t\t}}\n\t}}\n"
        for path, port in paths.items()
    )
    with _directory() as directory:
        config = directory / "Caddyfile"
        config.write_text(
            f"{{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n}}\nhttp://:{http_port} {{\n{handlers}}}\n"
        )
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
        with _running(command, directory, http_port):
            yield Front("caddy", http_port, None)


@contextlib.contextmanager
def varnish(server: LiveServer) -> Iterator[Front]:
    """Varnish with ``configs/streamd.vcl``."""
    require("varnishd", "cc")  # it compiles its configuration
    http_port = free_port()
    with _directory() as directory:
        config = _adapt("streamd.vcl", directory, {'.port = "8080";': f'.port = "{server.http_port}";'})
        # No jail, which is for those who start it as root; no port for orders; a log of 8 MB instead of 80.
        options = ["-F", "-j", "none", "-T", "none", "-l", "8m", "-n", f"{directory}/work"]
        options += ["-s", "malloc,256m", "-p", "thread_pool_min=250"]
        command = ["varnishd", *options, "-a", f"127.0.0.1:{http_port}", "-f", str(config)]
        with _running(command, directory, http_port):
            yield Front("varnish", http_port, None)


@dataclass(frozen=True)
class Balancer:
    """A TCP proxy in front of a server, which says whose connection each is."""

    rtmp_port: int
    rtmps_port: int
    http_port: int


# From where the balancer connects; the server believes nobody else.
BALANCER_ADDRESS = "127.0.0.9"


@contextlib.contextmanager
def haproxy(server: LiveServer, rtmps_port: int, send_proxy: str) -> Iterator[Balancer]:
    """HAProxy with ``configs/haproxy.cfg``.

    Args:
        server: Behind it.
        rtmps_port: Where the server listens for RTMPS.
        send_proxy: HAProxy's word for the version of the PROXY protocol.
    """
    require("haproxy")
    balancer = Balancer(free_port(), free_port(), free_port())
    fronts = {1935: balancer.rtmp_port, 1936: balancer.rtmps_port, 8080: balancer.http_port}
    behind = {1935: server.rtmp_port, 1936: rtmps_port, 8080: server.http_port}
    with _directory() as directory:
        config = _adapt(
            "haproxy.cfg",
            directory,
            {
                "    maxconn 25000\n": "    maxconn 500\n",
                **{f"bind :{port}\n": f"bind 127.0.0.1:{ours}\n" for port, ours in fronts.items()},
                **{
                    f"10.0.0.20:{port} send-proxy-v2 check": (
                        f"127.0.0.1:{ours} {send_proxy} check inter 200ms source {BALANCER_ADDRESS}"
                    )
                    for port, ours in behind.items()
                },
            },
        )
        with _running(["haproxy", "-db", "-f", str(config)], directory, balancer.rtmp_port):
            yield balancer


def _adapt(name: str, directory: Path, replacements: Mapping[str, str]) -> Path:
    """Write a committed configuration, with what is this machine's put in, where its program can read it."""
    text = (CONFIGS / name).read_text()
    for old, new in replacements.items():
        assert old in text, f"configs/{name} has no {old!r} to replace"
        text = text.replace(old, new)
    path = directory / name
    path.write_text(text)
    return path


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """A directory of its own for a program, with a certificate; pytest's are closed to all but their owner."""
    directory = Path(tempfile.mkdtemp(prefix="streamd-front-"))
    try:
        (directory / "cert.pem").write_text(certificates.ONE.cert)
        (directory / "key.pem").write_text(certificates.ONE.key)
        if os.geteuid() == 0:
            os.chown(directory, _NOBODY, _NOBODY)
        yield directory
    finally:
        shutil.rmtree(directory)


@contextlib.contextmanager
def _running(command: list[str], directory: Path, port: int) -> Iterator[None]:
    """Run a program until the block is left."""
    is_root = os.geteuid() == 0
    output_path = directory / "output"
    with output_path.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=os.environ
            | {"HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)},
            user=_NOBODY if is_root else None,
            group=_NOBODY if is_root else None,
            extra_groups=[] if is_root else None,
        )

    def is_listening() -> bool:
        if process.poll() is not None:
            said = output_path.read_text(errors="replace")
            raise AssertionError(f"{command[0]} ended with {process.returncode}:\n{said}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    try:
        wait_until(is_listening, PATIENCE_S, f"the start of {command[0]}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GOODBYE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
