"""Writing the configuration: the file of defaults, the effective one with its secrets masked, and what is secret."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from streamd.process.config.sections import SECTIONS, Config, Section
from streamd.services.field_docs import field_docs

if TYPE_CHECKING:
    from sqlalchemy import URL

MASK = "********"
# Of what stands in a URL's query, what is as long is taken for a secret in a log: "require" or "1" are words of lines.
QUERY_SECRET_CHARACTERS_MIN = 8


def default_config_text() -> str:
    """The configuration file with every setting at its default and explained; ``configs/streamd.toml``."""
    config = Config()
    paragraphs = [_DEFAULT_HEADER]
    for section, model in SECTIONS.items():
        settings = [f"# {model.__doc__}\n[{section}]"]
        docs = field_docs(model)
        for key in model.model_fields:
            comment = textwrap.fill(" ".join(docs[key].split()), 110, initial_indent="# ", subsequent_indent="# ")
            settings.append(f"{comment}\n{key} = {_toml(getattr(config, section), key)}")
        paragraphs.append("\n\n".join(settings))
    return "\n\n\n".join(paragraphs) + "\n"


_DEFAULT_HEADER = """\
# streamd's configuration, with every setting at its default.
#
# Keep what you change and leave out the rest. Each setting can also be given in the environment, as
# STREAMD_<SECTION>__<KEY>, for example STREAMD_RTMP__LISTEN; the environment beats this file.
# `streamd config check FILE` finds every fault at once."""


def config_text(config: Config) -> str:
    """A configuration as a TOML file, with its secrets masked."""
    return "\n".join(
        f"[{section}]\n" + "".join(f"{key} = {_toml(getattr(config, section), key)}\n" for key in model.model_fields)
        for section, model in SECTIONS.items()
    )


def secrets_of(config: Config) -> list[str]:
    """Texts that must not be seen in any log."""
    database_url = config.keys.database_url.get_secret_value()
    password = _url_of(database_url).password if database_url else None
    nats_urls = [url for each in config.cluster.nats_url.get_secret_value().split(",") if (url := each.strip())]
    hooks = [config.publish_hook.secret, config.playback.hook_secret, config.moderation.assistant_key]
    secrets = [config.admin.token, *hooks, *(e.secret for e in config.webhooks.endpoints)]
    asked = [config.publish_hook.url, config.playback.hook_url, config.playback.jwks_url]
    asked += [config.moderation.assistant_url, config.moderation.timestamp_url, *config.moderation.purge_urls]
    urls = [*asked, *(endpoint.url for endpoint in config.webhooks.endpoints), database_url]
    passwords = [password, *(urlsplit(url).password for url in nats_urls)]
    texts = (
        *(secret.get_secret_value() for secret in secrets),
        *passwords,
        *(t for url in urls for t in _said_in(url)),
    )
    return [text for text in texts if text]


def masked_url(url: str) -> str:
    """A URL without what may be secret in it: the password, and the whole query, which may hold a token."""
    bare, has_query, _ = url.partition("?")
    shown = _url_of(bare).render_as_string(hide_password=True) if "@" in bare else bare
    return f"{shown}?{MASK}" if has_query else shown


def _url_of(text: str) -> URL:
    # Few configurations have one, and a command that asks a server does without SQLAlchemy.
    from sqlalchemy.engine import make_url

    return make_url(text)


def _said_in(url: str) -> list[str]:
    """The texts of a URL's query, as they stand there and as they are meant."""
    query = urlsplit(url).query
    raw = [pair.partition("=")[2] for pair in query.split("&")]
    meant = [value for _, value in parse_qsl(query)]
    return [text for text in dict.fromkeys((query, *raw, *meant)) if len(text) >= QUERY_SECRET_CHARACTERS_MIN]


def _toml(section: Section, key: str) -> str:
    return _toml_value(section.model_dump(include={key})[key])


def _toml_value(value: object) -> str:
    match value:
        case SecretStr():
            return json.dumps(_masked(value.get_secret_value()))
        case str() if "://" in value:
            return json.dumps(masked_url(value), ensure_ascii=False)
        case float():
            return f"{value:g}"
        case dict():
            return "{ " + ", ".join(f"{key} = {_toml_value(inner)}" for key, inner in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_toml_value, value)) + "]"
        case _:
            # TOML's booleans, integers and basic strings are written as JSON's.
            return json.dumps(value, ensure_ascii=False)


def _masked(secret: str) -> str:
    if secret.count("://") > 1:
        return ",".join(masked_url(each.strip()) for each in secret.split(","))
    if "://" in secret:
        return masked_url(secret)
    return MASK if secret else ""
