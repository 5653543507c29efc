"""Reading the configuration: one TOML file, the environment over it, every fault at once."""

from __future__ import annotations

import contextlib
import difflib
import json
import os.path
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from streamd.errors import ConfigError
from streamd.process.config.faults import Fault, advice_on, contradictions
from streamd.process.config.report import MASK
from streamd.process.config.sections import PATHS, SECTIONS, Config, Name, ServerConfig, WebhookEndpoint, is_secret

ENV_PREFIX = "STREAMD_"
# Where a configuration is looked for when none is named, in this order; without any, the defaults hold.
# A name like a key's: a letter or two are wrong, as in STREAMD_HTTP_PUBLICURL.
ENV_KEY_CUTOFF = 0.85
# Section and key; what is deeper has its place within the value.
NESTED_PARTS = 2
ENDPOINTS = ("webhooks", "endpoints")
CONFIG_PATHS = (Path("streamd.toml"), Path("/etc/streamd/streamd.toml"))


# Values that are no path where one may stand.
WORDS: dict[Name, tuple[str, ...]] = {("moderation", "classifier"): ("nudenet",)}


def find_config(environ: Mapping[str, str]) -> Path | None:
    """The file to read where none is named: ``STREAMD_CONFIG``, else the first of ``CONFIG_PATHS``."""
    if named := environ.get(f"{ENV_PREFIX}CONFIG"):
        return Path(named)
    return next((path for path in CONFIG_PATHS if path.is_file()), None)


def _nothing_more(_: Config) -> Iterable[Fault]:
    """Look for nothing beyond the configuration itself: the command starts nothing."""
    return ()


def load_config(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    data_dir: Path | None = None,
    more: Callable[[Config], Iterable[Fault]] = _nothing_more,
) -> Config:
    """Read the configuration.

    Args:
        path: The file; None for the defaults.
        environ: Environment: ``STREAMD_<SECTION>__<KEY>`` beats the file.
        data_dir: Beats both; from the command line.
        more: Finds further faults, which are told with the others; ``config check`` has it try what a start does.

    Raises:
        ConfigError: Every fault, each with its place and what to write instead.
    """
    reading = _Reading()
    if path is not None:
        reading.read_file(path)
    reading.read_environment(environ)
    if data_dir is not None:
        reading.set(("server", "data_dir"), str(data_dir), "--data-dir", Path.cwd())
    config = reading.validate(more)
    if reading.faults:
        raise ConfigError(reading.faults)
    return config


class _Reading:
    """Settings from all sources on their way to one ``Config``, with where each came from."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._values: dict[str, dict[str, object]] = {}
        self._places: dict[Name, str] = {}
        self._default_place = "default"
        self._endpoints: object = None
        self.set(("server", "data_dir"), ServerConfig().data_dir, self._default_place, Path.cwd())

    def set(self, name: Name, value: object, place: str, directory: Path) -> None:
        """Take a value for a setting that exists.

        Args:
            name: The setting.
            value: As TOML has it; a path is relative to ``directory``.
            place: Where it stands, for people.
            directory: Where its source is.
        """
        section, key = name
        if name in PATHS:
            value = _absolute(value, directory, kept=WORDS.get(name, ()))
        self._values.setdefault(section, {})[key] = value
        self._places[name] = place

    def read_file(self, path: Path) -> None:
        """Take what a TOML file says."""
        try:
            text = path.read_text(encoding="utf-8")
            tables = tomllib.loads(text)
        except OSError as exc:
            self.faults.append(f"{path}: cannot be read: {exc.strerror}")
            return
        except UnicodeDecodeError:
            self.faults.append(f"{path}: is not UTF-8 text")
            return
        except tomllib.TOMLDecodeError as exc:
            place = re.search(r"at line (\d+)", str(exc))
            self.faults.append(f"{path}{f':{place[1]}' if place else ''}: is not TOML: {exc}")
            return
        self._default_place = str(path)
        lines = _find_lines(text)
        directory = path.absolute().parent

        def place_of(*name: str) -> str:
            line = lines.get(name) or lines.get(name[:1])
            return f"{path}:{line}" if line else str(path)

        for section, table in tables.items():
            if section not in SECTIONS:
                what = f"[{section}]" if isinstance(table, dict) else section
                self._unknown(place_of(section), f"{what} is unknown", section, list(SECTIONS))
            elif not isinstance(table, dict):
                self.faults.append(f"{place_of(section)}: {section} is a table: write [{section}] and its keys below")
            else:
                for key, value in table.items():
                    self._set_if_known((section, key), value, place_of(section, key), directory)

    def read_environment(self, environ: Mapping[str, str]) -> None:
        """Take what variables say that are named ``STREAMD_<SECTION>__<KEY>``."""
        for variable, text in sorted(environ.items()):
            section, separator, key = variable.removeprefix(ENV_PREFIX).lower().partition("__")
            if not variable.startswith(ENV_PREFIX):
                continue
            if not separator:
                self._check_underscores(variable)
                continue
            if not text.isascii() and text != text.encode(errors="replace").decode():
                # Bytes that are no UTF-8 come as halves of characters, which no other text can hold.
                self.faults.append(f"{variable}: is not UTF-8 text")
                continue
            if section not in SECTIONS:
                self._unknown(variable, f"section {section} is unknown", section, list(SECTIONS))
            else:
                field = SECTIONS[section].model_fields.get(key)
                value = text if field is None else _from_text(text, field.annotation)
                self._set_if_known((section, key), value, variable, Path.cwd())

    def _check_underscores(self, variable: str) -> None:
        """Tell of a variable that means a setting and lacks an underscore.

        Others of our prefix are left alone: the build's, and what Kubernetes makes of a service's name.
        """
        rest = variable.removeprefix(ENV_PREFIX).lower()
        for section, model in SECTIONS.items():
            if not rest.startswith(f"{section}_"):
                continue
            key = rest.removeprefix(f"{section}_")
            if near := difflib.get_close_matches(key, list(model.model_fields), n=1, cutoff=ENV_KEY_CUTOFF):
                meant = f"{ENV_PREFIX}{section.upper()}__{near[0].upper()}"
                self.faults.append(f"{variable}: has no effect: did you mean {meant}, with two underscores?")
                return

    def validate(self, more: Callable[[Config], Iterable[Fault]]) -> Config:
        """Check every setting, then how they go together.

        Args:
            more: Finds further faults of a configuration whose settings go together.

        Returns:
            The configuration, with defaults for what is faulty.
        """
        faulty: set[Name] = set()
        section, key = ENDPOINTS
        self._endpoints = self._values.get(section, {}).get(key)
        try:
            config = Config.model_validate(self._values)
        except ValidationError as exc:
            for error in exc.errors(include_url=False):
                section, key = str(error["loc"][0]), str(error["loc"][1])
                # Of a list of tables every fault is told, each with its place in the list.
                if (section, key) not in faulty or len(error["loc"]) > NESTED_PARTS:
                    self._fault((section, key), advice_on(error))
                    faulty.add((section, key))
            for section, key in faulty:
                del self._values[section][key]
            config = Config.model_validate(self._values)
        for name, advice in (*contradictions(config, self._endpoint_urls()), *more(config)):
            if name not in faulty or name == ENDPOINTS:
                self._fault(name, advice)
        return config

    def _endpoint_urls(self) -> list[str]:
        """The URLs of all webhooks, in whatever state the rest of each is."""
        endpoints = self._endpoints
        tables = endpoints if isinstance(endpoints, list) else []
        return [str(table.get("url", "")) if isinstance(table, dict) else "" for table in tables]

    def _set_if_known(self, name: Name, value: object, place: str, directory: Path) -> None:
        section, key = name
        if key in SECTIONS[section].model_fields:
            self.set(name, value, place, directory)
        else:
            self._unknown(place, f"{section}.{key} is unknown", key, list(SECTIONS[section].model_fields))

    def _unknown(self, place: str, what: str, name: str, known: list[str]) -> None:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"write one of {', '.join(known)}"
        self.faults.append(f"{place}: {what}: {hint}")

    def _fault(self, name: Name, advice: str) -> None:
        section, key = name
        setting = f"{section}.{key}"
        value = self._values.get(section, {}).get(key)
        if name in self._places and not is_secret(name):
            # A URL that should have no password may have one, and a token in its query, whatever else is wrong with it.
            shown = re.sub(r"//[^/@\s]*@", f"//{MASK}@", json.dumps(value, default=str, ensure_ascii=False))
            shown = re.sub(r"\?[^\s\"]+", f"?{MASK}", shown)
            setting += f" = {shown if len(shown) <= 60 else shown[:59] + '…'}"
        self.faults.append(f"{self._places.get(name, self._default_place)}: {setting}: {advice}")


def _find_lines(text: str) -> dict[tuple[str, ...], int]:
    """Where the tables and keys of a TOML file stand: line by name, from 1.

    ``tomllib`` keeps no lines. This reads line by line and knows no multi-line values, of which our
    settings have none but lists; a name that it misses is told without a line.
    """
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[?([^\[\]]+)\]", line):
            table = _split_name(header[1])
            lines.setdefault(table, number)
        elif assignment := re.match(r"\s*([\w\s\"'.-]+?)\s*=", line):
            name = table + _split_name(assignment[1])
            for length in range(1, len(name) + 1):
                lines.setdefault(name[:length], number)
    return lines


def _split_name(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _from_text(text: str, annotation: object) -> object:
    """An environment variable's text as TOML would have it; the text itself where it is not that."""
    if annotation == list[WebhookEndpoint]:
        with contextlib.suppress(ValueError):
            return json.loads(text)
    if annotation == list[str]:
        return [item.strip() for item in text.split(",") if item.strip()]
    if annotation not in (bool, int, float):
        return text
    try:
        value: object = TypeAdapter(annotation).validate_python(text.strip())
    except ValidationError:
        return text
    return value


def _absolute(value: object, directory: Path, kept: Sequence[str]) -> object:
    """A path, or each of a list, as it is from everywhere; what is no text is for the checks to find.

    Args:
        value: As TOML has it.
        directory: Where it is relative to.
        kept: Words that are no paths.
    """
    if isinstance(value, list):
        return [_absolute(each, directory, kept) for each in value]
    if not isinstance(value, str) or not value or value in kept:
        return value
    return os.path.join(directory, os.path.expanduser(value))
