from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from streamd.process.config import (
    MASK,
    Config,
    config_text,
    default_config_text,
    load_config,
    masked_url,
    secrets_of,
)
from streamd.process.redaction import Redactor
from streamd.services.field_docs import field_docs
from streamd.services.metrics import LIMITS
from tests.support.config import faults
from tests.support.receiver import OTHER_SECRET, SECRET

REPOSITORY = Path(__file__).parents[3]


class TestDefaults:
    def test_the_shipped_file_is_what_the_program_would_write(self) -> None:
        assert (REPOSITORY / "configs" / "streamd.toml").read_text() == default_config_text()

    def test_the_shipped_file_has_every_key_at_its_default(self) -> None:
        tables = tomllib.loads(default_config_text())
        assert {section: set(table) for section, table in tables.items()} == {
            section: set(type(getattr(Config(), section)).model_fields) for section in Config.model_fields
        }
        assert Config.model_validate(tables) == Config()

    def test_every_key_is_explained(self) -> None:
        for section in Config.model_fields:
            model = type(getattr(Config(), section))
            assert field_docs(model).keys() == model.model_fields.keys(), section

    def test_every_number_has_its_unit_in_its_name(self) -> None:
        for section in Config.model_fields:
            for key, field in type(getattr(Config(), section)).model_fields.items():
                if field.annotation in (int, float):
                    assert re.search(r"_(ms|s|days|bytes|kbps|max|min|segments|per_hour|per_session)$", key), key

    def test_what_is_counted_when_it_acts_is_a_limit(self) -> None:
        assert set(LIMITS) <= Config().limits.__class__.model_fields.keys()

    def test_the_contracts_defaults_hold(self) -> None:
        config = load_config(None, environ={"HOME": "/nonexistent"})
        assert (str(config.rtmp.listen), str(config.http.listen), str(config.admin.listen)) == (
            ":1935", ":8080", "127.0.0.1:8081",
        )  # fmt: skip
        assert (config.hls.part_target_ms, config.hls.segment_target_ms, config.hls.window_segments) == (500, 2000, 7)
        assert (config.hls.low_latency, config.live.reconnect_window_s) == (True, 30)
        assert config.database_url == f"sqlite+aiosqlite:///{config.data_dir}/streamd.db"
        assert config.data_dir.is_absolute()


class TestSecrets:
    TOKEN = "t0ken-t0ken-t0ken-t0ken"
    PASSWORD = "hunter22"
    URL = f"postgresql+asyncpg://ann:{PASSWORD}@db.example.org/streamd"

    def config(self) -> Config:
        environ = {"STREAMD_ADMIN__TOKEN": self.TOKEN, "STREAMD_KEYS__DATABASE_URL": self.URL}
        return load_config(None, environ=environ)

    def test_what_is_shown_is_masked(self) -> None:
        text = config_text(self.config())
        assert f'token = "{MASK}"' in text
        assert 'database_url = "postgresql+asyncpg://ann:***@db.example.org/streamd"' in text
        for shown in (text, repr(self.config()), str(self.config())):
            assert self.TOKEN not in shown
            assert self.PASSWORD not in shown

    def test_secrets_of_webhooks_are_masked_and_the_rest_is_shown(self) -> None:
        endpoints = json.dumps([{"url": "https://a.example/x", "secret": SECRET, "events": ["key.issued"]}])
        environ = {"STREAMD_WEBHOOKS__ENDPOINTS": endpoints, "STREAMD_PUBLISH_HOOK__SECRET": OTHER_SECRET}
        config = load_config(None, environ=environ)
        text = config_text(config)
        assert SECRET not in text + repr(config)
        assert OTHER_SECRET not in text + repr(config)
        shown = tomllib.loads(text)["webhooks"]["endpoints"]
        assert shown == [{"url": "https://a.example/x", "secret": MASK, "events": ["key.issued"]}]
        assert secrets_of(config) == [OTHER_SECRET, SECRET]

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://a.example/hook?token=t0p-secret&b=1", f"https://a.example/hook?{MASK}"),
            ("https://a.example/hook?", f"https://a.example/hook?{MASK}"),
            ("https://a.example:8443/hook", "https://a.example:8443/hook"),
            ("postgresql+asyncpg://ann:hunter22@h/d?ssl=require", f"postgresql+asyncpg://ann:***@h/d?{MASK}"),
            ("postgresql+asyncpg://h/d?user=ann&password=hunter22", f"postgresql+asyncpg://h/d?{MASK}"),
            ("sqlite+aiosqlite:////var/lib/streamd/streamd.db", "sqlite+aiosqlite:////var/lib/streamd/streamd.db"),
        ],
    )
    def test_urls_are_shown_without_passwords_and_queries(self, url: str, shown: str) -> None:
        assert masked_url(url) == shown

    def test_queries_of_every_url_are_masked_and_told_to_the_log(self) -> None:
        hook, endpoint = "a-hook%27s-token", "an-endpoints-token"
        environ = {
            "STREAMD_PUBLISH_HOOK__URL": f"https://a.example/hook?token={hook}&v=1",
            "STREAMD_PUBLISH_HOOK__SECRET": OTHER_SECRET,
            "STREAMD_WEBHOOKS__ENDPOINTS": json.dumps(
                [{"url": f"https://b.example/x?{endpoint}", "secret": SECRET, "events": ["key.issued"]}]
            ),
            "STREAMD_KEYS__DATABASE_URL": f"postgresql+asyncpg://db.example/d?password={self.PASSWORD}",
        }
        config = load_config(None, environ=environ)
        text = config_text(config)
        tables = tomllib.loads(text)
        assert tables["publish_hook"]["url"] == f"https://a.example/hook?{MASK}"
        assert tables["webhooks"]["endpoints"][0]["url"] == f"https://b.example/x?{MASK}"
        assert tables["keys"]["database_url"] == f"postgresql+asyncpg://db.example/d?{MASK}"
        redactor = Redactor(secrets_of(config))
        for secret in (hook, "a-hook's-token", endpoint, self.PASSWORD):
            assert secret not in text
            assert secret not in redactor.redact(f"InvalidURL: https://a.example/hook?token={secret}&v=1")
        assert redactor.redact("duration_s=1") == "duration_s=1"

    def test_what_is_shown_is_a_configuration(self) -> None:
        tables = tomllib.loads(config_text(load_config(None, environ={})))
        assert Config.model_validate(tables).hls == Config().hls

    def test_faults_do_not_quote_secrets(self, file: Path) -> None:
        file.write_text(
            f'[admin]\ntoken = "hunter22"\n[keys]\ndatabase_url = "mysql://a:{self.PASSWORD}@h/d"\n'
            f'[publish_hook]\nurl = "https://a:{self.PASSWORD}@h/hook"\n'
        )
        found = faults(file)
        assert len(found) == 3
        assert self.PASSWORD not in " ".join(found)

    @pytest.mark.parametrize("before", ["htp://a.example/hook?token=", "a.example/hook?", "?", "https://a@b?x=1&y="])
    def test_faults_do_not_quote_queries(self, file: Path, before: str) -> None:
        file.write_text(
            f'[publish_hook]\nurl = "{before}{self.PASSWORD}"\n[http]\npublic_url = "{before}{self.PASSWORD}"'
        )
        found = faults(file)
        assert len(found) == 2
        assert self.PASSWORD not in " ".join(found)

    def test_the_log_is_told_of_them(self) -> None:
        assert secrets_of(self.config()) == [self.TOKEN, self.PASSWORD]
        assert secrets_of(Config()) == []

    def test_the_store_gets_the_real_url(self) -> None:
        assert self.config().database_url == self.URL
