"""What ``config check`` says of ``[storage]``."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from streamd.process.config import config_text, load_config
from streamd.process.options import storage_options
from streamd.services.storage.place import Place
from tests.support.config import faults

if TYPE_CHECKING:
    from pathlib import Path

S3 = 'url = "s3://recordings/live"\n'


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("a secret that nobody is shown")
    return file


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('url = "recordings"', 'storage.url = "recordings": write "s3://bucket/prefix"'),
        ('url = "s3://a:hunter2@recordings"', "storage.url = "),
        ('url = "file://relative"', 'storage.url = "file://relative": write the absolute path'),
        (f'{S3}endpoint = "s3.example.org"', 'storage.endpoint = "s3.example.org": write the URL of the service'),
        (f'{S3}endpoint = "https://s3.example.org:99999"', "storage.endpoint = "),
        (f'{S3}region = "eu central"', "storage.region = "),
        (f'{S3}access_key_id = "AKID"', "storage.secret_access_key_file: write the path of a file with the secret"),
        (f'{S3}secret_access_key_file = "missing"', "storage.secret_access_key_file = "),
        ('url = "az://recordings"', "storage.access_key_id: write the name of the account"),
        (f'{S3}keep_local = "never"', 'storage.keep_local = "never": write "until_uploaded", "always" or a number'),
        (f"{S3}keep_local = 7", "storage.keep_local = 7: write text in quotes"),
        (f'{S3}serve = "cdn.example.org"', 'storage.serve = "cdn.example.org": write "proxy", "redirect" or the URL'),
        (f'{S3}storage_class = "standard"', "storage.storage_class = "),
        (f"{S3}path_style = 1", "storage.path_style = 1: write true or false"),
        ('url = "file:///srv/r"\nserve = "redirect"', 'storage.serve = "redirect": write proxy, or a public URL'),
        ('url = "file:///srv/r"\nendpoint = "https://a.example"', "storage.endpoint = "),
        (f'{S3}secret_access_key = "hunter2"', "storage.secret_access_key is unknown: did you mean"),
    ],
)
def test_each_fault_says_what_to_write(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "streamd.toml"
    file.write_text(f"[storage]\n{text}\n")
    found = faults(file)
    assert any(fault in each for each in found), found
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize("where", ["recordings", "recordings/inside", ""])
def test_a_directory_that_holds_recordings_is_no_bucket(tmp_path: Path, where: str) -> None:
    file = tmp_path / "streamd.toml"
    file.write_text(f'[server]\ndata_dir = "{tmp_path}"\n[storage]\nurl = "file://{tmp_path}/{where}"\n')
    (found,) = faults(file)
    assert "write a directory that has nothing to do with recording.dir" in found


def test_without_obstore_the_server_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    file = tmp_path / "streamd.toml"
    file.write_text(f"[storage]\n{S3}")
    (found,) = faults(file)
    assert "pip install 'streamd[storage]'" in found


def test_what_is_right_is_taken_and_no_secret_is_shown(tmp_path: Path, secret: Path) -> None:
    file = tmp_path / "streamd.toml"
    file.write_text(
        f"""\
        [storage]
        {S3}
        endpoint = "https://s3.example.org/"
        region = "eu-central-1"
        access_key_id = "AKID"
        secret_access_key_file = "secret"
        keep_local = "7 days"
        serve = "https://cdn.example.org/live/"
        """
    )
    config = load_config(file, environ={})
    options = storage_options(config)
    assert options is not None
    assert options.place == Place.parse("s3://recordings/live")
    assert (options.endpoint, options.serve) == ("https://s3.example.org", "https://cdn.example.org/live")
    assert (options.secret_access_key_file, options.keep_local_days) == (str(secret), 7)
    assert secret.read_text() not in config_text(config)


def test_without_a_url_there_is_no_bucket() -> None:
    assert storage_options(load_config(None, environ={})) is None
