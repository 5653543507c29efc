"""libFuzzer on one target, in a process that it ends itself: ``python -m tests.fuzz.libfuzzer NAME [FLAG|FOLDER]…``.

``tests.fuzz`` runs this; alone it is of use for a single input, as ``python -m tests.fuzz.libfuzzer NAME crash-…``.
"""

from __future__ import annotations

import sys

import atheris

from tests.fuzz.corpora import Target


def main(name: str, *arguments: str) -> None:
    """Instrument the server's modules, and fuzz; does not return."""
    with atheris.instrument_imports(include=["streamd"]):
        target = Target.load(name)
    # To merge corpora it starts itself again, by a shell, under the name that it is given here.
    atheris.Setup([f"{sys.executable} -m {__spec__.name} {name}", *arguments], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
