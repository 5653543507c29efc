"""How Sphinx builds the documentation: ``sphinx-build -W docs build/docs``.

The reference is not written here: commands, settings and the API are read from the program that is documented,
at the moment of building.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from pathlib import Path

from sphinxcontrib.httpdomain import HTTP_STATUS_CODES  # type: ignore[import-untyped]

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from docs.facts import write_facts  # noqa: E402
from streamd import __version__  # noqa: E402

project = "streamd"
author = copyright = "the streamd authors"
version = release = __version__
extensions = [
    "myst_parser",  # pages in Markdown
    "sphinx_click",  # the commands, from click's own definitions
    "sphinxcontrib.openapi",  # the API, from /openapi.json
]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["generated"]
html_theme = "furo"
html_title = f"streamd {__version__}"
html_theme_options = {"navigation_with_keys": True}
openapi_default_renderer = "httpdomain"

# RFC 9110 has some that are newer than the extension.
HTTP_STATUS_CODES.update({status.value: status.phrase for status in HTTPStatus})

write_facts(HERE / "generated")
