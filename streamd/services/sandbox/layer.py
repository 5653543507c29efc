"""The layers of a sandbox, each with the acts that it prevents."""

from __future__ import annotations

import enum


class Layer(enum.IntFlag):
    """One layer around a process; a set of them describes the confinement on this machine."""

    LIMITS = 1
    """Bounds of memory, processor time, descriptors, processes and file sizes (setrlimit)."""
    USER = 2
    """No root, no capability, and no way to get them by starting a program (no_new_privs)."""
    FILES = 4
    """No path can be opened, made, changed or removed (Landlock, Linux 5.13)."""
    NETWORK = 8
    """No TCP port can be bound or connected to (Landlock, Linux 6.7)."""
    SIGNALS = 16
    """No other process can be signalled, nor an abstract Unix socket connected to (Landlock, Linux 6.12)."""
    CALLS = 32
    """Only the system calls that computing and a pipe need (seccomp)."""

    @property
    def words(self) -> str:
        """The names of a set of layers, for logs: ``"limits, user"``."""
        return ", ".join(layer.name.lower() for layer in Layer if layer in self and layer.name is not None)
