"""Action Message Format, versions 0 and 3."""
