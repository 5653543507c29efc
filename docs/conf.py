"""How Sphinx builds the documentation: ``sphinx-build -W docs build/docs``.

The reference is not written here: commands and settings are read from the program that is documented, at the moment of
building; ``docs/reference.py`` makes that of the API.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from streamd import __version__  # noqa: E402

project = "streamd"
author = copyright = "the streamd authors"
version = release = __version__
extensions = [
    "myst_parser",  # pages in Markdown
    "sphinx_click",  # the commands, from click's own definitions
]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"streamd {__version__}"
html_theme_options = {"navigation_with_keys": True}
