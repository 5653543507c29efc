"""The container and compose files, as far as they can be judged without an engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from streamd.process.config import load_config
from tests.support.tools import require

if TYPE_CHECKING:
    from tests.support.server import LiveServer

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "configs" / "Containerfile"
COMPOSE = ROOT / "configs" / "compose.yaml"
TIMEOUT_S = 60.0


def instructions(name: str) -> list[str]:
    """Arguments of the instructions of one name, in order, each on one line."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return re.findall(rf"^{name} +(.*)$", text, re.MULTILINE)


def settings(pairs: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in pairs.items() if name.startswith("STREAMD_")}


class TestContainerfile:
    def test_hadolint_has_nothing_to_say(self) -> None:
        # From PyPI, and so beside the interpreter.
        hadolint = Path(sys.executable).with_name("hadolint")
        require(str(hadolint))
        done = subprocess.run([hadolint, CONTAINERFILE], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert (done.returncode, done.stdout) == (0, "")

    def test_what_is_copied_is_all_that_the_build_needs(self, tmp_path: Path) -> None:
        source = tmp_path / "src"
        for copy in instructions("COPY"):
            if copy.startswith("--from"):
                continue
            *paths, target = copy.split()
            for path in paths:
                destination = source / target / ("" if target != "./" else path)
                if (ROOT / path).is_dir():
                    shutil.copytree(ROOT / path, destination, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    destination.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(ROOT / path, destination)
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
        # Without a network, and so without the player, which is another test's affair.
        env = {name: value for name, value in os.environ.items() if name != "STREAMD_REQUIRE_PLAYER"}
        env["npm_config_registry"] = "http://127.0.0.1:9"
        env["STREAMD_COMPILE"] = "0"
        subprocess.run(command, cwd=source, env=env, capture_output=True, timeout=TIMEOUT_S, check=True)
        (wheel,) = tmp_path.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            assert {"streamd/__main__.py", "streamd/doors/web/templates/watch.html"} <= set(archive.namelist())

    def test_everything_that_is_installed_is_pinned_by_hash(self) -> None:
        (steps,) = (text for text in instructions("RUN") if "pip install" in text)
        installs = [step for step in steps.split("&&") if "pip install" in step]
        for step in installs:
            assert "--require-hashes" in step or "--no-deps /tmp/wheel/*.whl" in step
        for file in re.findall(r"--requirement (\S+)", steps):
            assert (ROOT / file).is_file()
            assert file in " ".join(instructions("COPY")) or file.startswith("packaging/")

    def test_the_environment_is_a_configuration(self) -> None:
        pairs = dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))
        config = load_config(None, environ=settings(pairs))
        assert (config.log.format, config.data_dir) == ("json", Path(instructions("VOLUME")[0]))

    def test_it_runs_as_nobody_special_and_says_which_ports_it_has(self) -> None:
        config = load_config(None, environ={})
        (user,) = instructions("USER")
        assert "0" not in user.split(":")
        assert config.rtmp.listen is not None
        assert instructions("EXPOSE") == [f"{config.rtmp.listen.port} {config.http.listen.port}"]
        assert [json.loads(line) for line in (*instructions("ENTRYPOINT"), *instructions("CMD")[-1:])] == [
            ["streamd"],
            ["serve"],
        ]

    @pytest.mark.integration
    def test_the_health_check_tells_a_server_that_is_alive_from_one_that_is_gone(self, live_server: LiveServer) -> None:
        (check,) = instructions("HEALTHCHECK")
        python, *arguments = json.loads(check.partition("CMD")[2])
        assert python == "python"
        here = f"127.0.0.1:{live_server.admin_port}"
        command = [sys.executable, *(argument.replace("127.0.0.1:8081", here) for argument in arguments)]
        assert command[1:] != arguments
        assert subprocess.run(command, timeout=TIMEOUT_S, check=False).returncode == 0
        live_server.stop()
        assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False).returncode != 0


class TestCompose:
    @pytest.mark.parametrize("profiles", [(), ("caddy",), ("nginx",)])
    def test_docker_compose_reads_it(self, profiles: tuple[str, ...]) -> None:
        services = compose(*profiles)["services"]
        assert set(services) >= {"streamd", "postgres", *profiles}

    def test_its_password_has_no_default(self) -> None:
        require("docker-compose")
        env = {name: value for name, value in os.environ.items() if name != "POSTGRES_PASSWORD"}
        command = ["docker-compose", "-f", str(COMPOSE), "config", "-q"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert (done.returncode == 0, "see the top of this file" in done.stderr) == (False, True)

    def test_the_environment_is_a_configuration_and_the_front_finds_the_server(self) -> None:
        services = compose("caddy", "nginx")["services"]
        config = load_config(None, environ=settings(services["streamd"]["environment"]))
        assert config.database_url == "postgresql+asyncpg://streamd:hunter22@postgres/streamd"
        for front, path in (("caddy", "Caddyfile"), ("nginx", "nginx.conf")):
            assert services[front]["network_mode"] == "service:streamd"
            assert any(volume.startswith(str(COMPOSE.with_name(path))) for volume in services[front]["volumes"])
            assert f"{config.http.listen}" in COMPOSE.with_name(path).read_text()
        needed = config.limits.connections_max + config.limits.viewer_connections_max
        assert services["streamd"]["ulimits"]["nofile"] > needed


def compose(*profiles: str) -> dict[str, Any]:
    """The compose file as docker-compose understands it."""
    require("docker-compose")
    command = ["docker-compose", "-f", str(COMPOSE), *(part for p in profiles for part in ("--profile", p)), "config"]
    env = os.environ | {"POSTGRES_PASSWORD": "hunter22"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    content: dict[str, Any] = yaml.safe_load(done.stdout)
    return content
