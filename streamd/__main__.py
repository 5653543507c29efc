"""``python -m streamd``."""

from streamd.process.cli import main

if __name__ == "__main__":
    main(prog_name="streamd")
