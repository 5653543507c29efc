"""Does a certificate's renewal, by the page's own steps, disturb whoever is connected?

    python -m bench.certificates --pebble PATH --dns PATH [--client certbot|lego|acme.sh] [--program PATH]

``docs/certificates.md`` is walked as it is written, as root, against Pebble, the ACME test server of Let's Encrypt, in
place of theirs: the client proves that the name is ours, the hook copies the files, and a server whose user is nobody
serves HTTPS and RTMPS with them. FFmpeg publishes over RTMPS and a viewer follows HTTP-FLV over HTTPS while the
certificate is renewed. What is asserted: either goes on; both ports show new connections the new certificate within
``SEEN_S``; SIGHUP loads one as well; a key that does not fit is refused and the old certificate stays.

Left out: port 80 itself (the client listens on another, which Pebble asks), a real name, and the months between. Pebble
and its DNS server are built with ``go install github.com/letsencrypt/pebble/v2/cmd/pebble@latest`` and
``…/cmd/pebble-challtestsrv@latest``; ``lego`` is version 4 or 5.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.first_hour import free_port, publishing, wait_for

ROOT = Path(__file__).parents[1]
NAME = "live.example.org"
# The page says two seconds; a busy machine may be late.
SEEN_S = 5.0
USER, GROUP = "nobody", "nogroup"


def note(what: str, value: object = True) -> None:
    """Print what was seen."""
    print(json.dumps({"name": what, "value": value}), flush=True)


def self_signed(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate for Pebble's own API, which its clients are told to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = directory / f"{name}.pem", directory / f"{name}-key.pem"
    cert_path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.TraditionalOpenSSL
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return cert_path, key_path


@contextlib.contextmanager
def process(command: Sequence[object], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process until the block is left."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            [str(part) for part in command], env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def serial(port: int) -> int:
    """The serial number of the certificate that a port shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number


class Viewer(threading.Thread):
    """Follows HTTP-FLV over one HTTPS connection."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.received = 0
        self.is_over = False

    def run(self) -> None:
        """Read until it ends."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        url = f"https://127.0.0.1:{self._port}/live/alice.flv"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, context=context, timeout=30) as response:
            while piece := response.read1(65_536):
                self.received += len(piece)
        self.is_over = True


def client_commands(client: str, directory: Path, api: str, http_port: int, hook: Path) -> tuple[list[str], list[str]]:
    """The page's commands to fetch and to renew, with another directory, server and port."""
    if client == "certbot":
        where = [word for name in ("config", "work", "logs") for word in (f"--{name}-dir", str(directory / name))]
        own = ["--server", api, "--http-01-port", str(http_port), "--non-interactive", "--agree-tos"]
        own += ["--register-unsafely-without-email", *where]
        fetch = ["certbot", "certonly", "--standalone", "-d", NAME, "--deploy-hook", str(hook), *own]
        renew = ["certbot", "renew", "--force-renewal", "--deploy-hook", str(hook)]
        return fetch, [*renew, "--no-random-sleep-on-renew", *where]
    if client == "lego":
        said = subprocess.run(["lego", "run", "--help"], capture_output=True, text=True, check=False).stdout
        if "--deploy-hook" in said:
            own = ["--server", api, "--http.address", f":{http_port}", "--path", str(directory / "lego")]
            fetch = ["lego", "run", "--accept-tos", "--email", "you@example.org", "--domains", NAME, "--http"]
            fetch += ["--deploy-hook", str(hook), *own]
            return fetch, [*fetch, "--renew-force"]
        own = ["--server", api, "--http.port", f":{http_port}", "--path", str(directory / "lego")]
        start = ["lego", "--accept-tos", "--email", "you@example.org", "--domains", NAME, "--http", *own]
        return [*start, "run", "--run-hook", str(hook)], [
            *start,
            "renew",
            "--renew-hook",
            str(hook),
            "--days",
            "4000",
            "--no-random-sleep",
        ]
    home = directory / "acme.sh"
    own = ["--home", str(home), "--server", api, "--httpport", str(http_port)]
    issue = ["acme.sh", "--issue", "--standalone", "-d", NAME, *own]
    return issue, ["acme.sh", "--renew", "--force", "-d", NAME, *own]


def walk(options: argparse.Namespace, directory: Path) -> None:
    """The page, from step 1 on."""
    tls, hook = directory / "tls", directory / "renewed-certificate"
    api_port, management, dns_port, http_port = (free_port() for _ in range(4))
    http, rtmp, rtmps, admin = (free_port() for _ in range(4))
    certificate, key = self_signed(directory, "localhost")
    configuration = {
        "listenAddress": f"127.0.0.1:{api_port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(certificate),
        "privateKey": str(key),
        "httpPort": http_port,
        "tlsPort": free_port(),
        "retryAfter": {"authz": 1, "order": 1},
        "keyAlgorithm": "ecdsa",
        "profiles": {"default": {"description": "", "validityPeriod": 7_776_000}},
    }
    (directory / "pebble.json").write_text(json.dumps({"pebble": configuration}))
    trust = dict.fromkeys(
        ("REQUESTS_CA_BUNDLE", "LEGO_CA_CERTIFICATES", "CA_BUNDLE", "CURL_CA_BUNDLE"), str(certificate)
    )
    environment = {"STREAMD_TLS_DIR": str(tls), "STREAMD_GROUP": GROUP, **trust}
    dns = [options.dns, "-dnsserver", f"127.0.0.1:{dns_port}", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]
    dns += ["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", f"127.0.0.1:{free_port()}"]
    pebble = [options.pebble, "-config", directory / "pebble.json", "-dnsserver", f"127.0.0.1:{dns_port}"]
    settings = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    with process(dns, directory / "dns.log"), process(pebble, directory / "pebble.log", **settings):
        wait_for(lambda: _listens(api_port))
        # 2. The hook.
        shutil.copy(ROOT / "configs" / "renewed-certificate", hook)
        hook.chmod(0o755)
        # 3. Fetch it.
        api = f"https://localhost:{api_port}/dir"
        fetch, renew = client_commands(options.client, directory, api, http_port, hook)
        if options.client == "acme.sh":
            subprocess.run(["install", "-d", "-m", "0750", "-g", GROUP, tls], check=True)
        _run(fetch, environment)
        if options.client == "acme.sh":
            after = f"chgrp {GROUP} {tls}/key.pem && chmod 640 {tls}/key.pem"
            copy = ["acme.sh", "--install-cert", "-d", NAME, "--home", str(directory / "acme.sh")]
            copy += ["--fullchain-file", f"{tls}/cert.pem", "--key-file", f"{tls}/key.pem", "--reloadcmd", after]
            _run(copy, environment)
        note("modes", {path.name: oct(path.stat().st_mode & 0o7777) for path in (tls, *sorted(tls.iterdir()))})
        # 4. Tell streamd.
        (directory / "streamd.toml").write_text(
            f'[server]\ndata_dir = "{directory}/data"\n'
            f'[http]\nlisten = "127.0.0.1:{http}"\ntls_cert = "{tls}/cert.pem"\ntls_key = "{tls}/key.pem"\n'
            f'public_url = "https://{NAME}"\n'
            f'[rtmp]\nlisten = "127.0.0.1:{rtmp}"\ntls_listen = "127.0.0.1:{rtmps}"\n'
            f'tls_cert = "{tls}/cert.pem"\ntls_key = "{tls}/key.pem"\n[admin]\nlisten = "127.0.0.1:{admin}"\n'
            '[log]\nformat = "json"\n'
        )
        (directory / "data").mkdir(mode=0o700)
        shutil.chown(directory / "data", USER, GROUP)
        demoted = ["setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups"]
        program = [*options.program.split()]
        given = ["--config", str(directory / "streamd.toml")]
        log = directory / "streamd.log"
        with process([*demoted, *program, "serve", *given], log, HOME=str(directory / "data")) as server:
            wait_for(lambda: _answers(admin))
            # 5. See that it holds.
            said = subprocess.run([*demoted, *program, "doctor", *given], capture_output=True, text=True, check=False)
            note("doctor", [line.strip() for line in said.stdout.splitlines() if "ertificate" in line])
            issued = subprocess.run(
                [*demoted, *program, "keys", "issue", "alice", "--json", *given],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            stream_key = json.loads(issued.stdout)["stream_key"]
            first = serial(http)
            assert serial(rtmps) == first
            with publishing(f"rtmps://127.0.0.1:{rtmps}/live/{stream_key}") as encoder:
                wait_for(lambda: _has_stream(http))
                viewer = Viewer(http)
                viewer.start()
                wait_for(lambda: viewer.received > 10_000)
                _run(renew, environment)
                began = time.monotonic()
                _until("the new certificate", lambda: serial(http) != first and serial(rtmps) != first)
                note("seen by new connections of both ports after (s)", round(time.monotonic() - began, 2))
                assert serial(http) == serial(rtmps)
                _go_on(encoder, viewer, "renewal")
                # Loaded by SIGHUP as well: nothing is broken by one that comes at a bad moment.
                second = serial(http)
                _run(renew, environment)
                server.send_signal(signal.SIGHUP)
                _until("the third certificate", lambda: serial(http) not in (first, second))
                _go_on(encoder, viewer, "SIGHUP")
                third = serial(http)
                # Half a renewal: a key that does not fit.
                (tls / "key.pem").write_bytes(key.read_bytes())
                _until("tls.reload_failed", lambda: "tls.reload_failed" in log.read_text("utf-8"))
                assert serial(http) == serial(rtmps) == third
                _go_on(encoder, viewer, "a key that does not fit")
            lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
            events = [line.get("event", line.get("message", "")) for line in lines]
            note("log", {name: events.count(name) for name in ("tls.reloaded", "tls.reload_failed")})


def _go_on(encoder: subprocess.Popen[bytes], viewer: Viewer, what: str) -> None:
    """See that the publisher and the viewer have not noticed."""
    before = viewer.received
    _until("more media", lambda: viewer.received > before + 20_000)
    assert encoder.poll() is None, what
    assert not viewer.is_over, what
    note(f"publisher and viewer go on after {what}")


def _until(what: str, is_so: Callable[[], object]) -> None:
    end = time.monotonic() + SEEN_S
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit(f"{what} does not come within {SEEN_S:g} s")
        time.sleep(0.05)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    note("done", " ".join(command[:2]))


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _has_stream(port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        url = f"https://127.0.0.1:{port}/live/alice/main.m3u8"
        with urllib.request.urlopen(url, context=context, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def main() -> None:
    """Walk the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pebble", required=True, help="its program")
    parser.add_argument("--dns", required=True, help="pebble-challtestsrv")
    parser.add_argument("--client", choices=["certbot", "lego", "acme.sh"], default="certbot")
    parser.add_argument("--program", default=f"{sys.executable} -m streamd", help="streamd, and its first arguments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o711)
        try:
            walk(options, directory)
        except BaseException:
            for log in sorted(directory.glob("*.log")):
                print(
                    f"-- {log.name}", *log.read_text("utf-8", "replace").splitlines()[-15:], sep="\n", file=sys.stderr
                )
            raise


if __name__ == "__main__":
    main()
