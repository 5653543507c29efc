"""The confinement of a process, as one object: a worker describes it, and locks itself in."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.services.sandbox import landlock, limits, rights, seccomp
from streamd.services.sandbox.layer import Layer


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A process that only computes, and reads and writes the descriptors it was handed."""

    memory_bytes: int
    """Addresses that it may use; libraries and Python are some 150 MB of them."""
    cpu_s: int | None = None
    """Processor time that it may use, counted from its beginning; the kernel ends it then. None for any."""
    open_files: int = 0
    """How many descriptors it may have; 0 leaves it those that are open."""
    file_bytes: int = 0
    """How long the files may become that it was handed."""
    inputs: int = 0
    """Descriptors behind standard error that it was handed, and keeps."""
    may_fork: bool = False
    """It may start copies of itself."""

    def lock(self) -> Layer:
        """Give up every other right, for good; the caller has imported and opened all it needs.

        Standard input, output and error stay, and ``inputs`` behind them; other descriptors are closed. The caller has
        started no thread yet.

        Returns:
            The layers that hold from now on.
        """
        limits.close_other_descriptors(self.inputs)
        layers = Layer.USER if rights.give_up_rights() else Layer(0)
        rights.hide_and_die_with_parent()
        # A ruleset is a descriptor for a moment, so the limits come after it; seccomp comes last, for it forbids these.
        layers |= landlock.refuse_everything()
        limits.limit(
            memory_bytes=self.memory_bytes,
            cpu_s=self.cpu_s,
            open_files=self.open_files,
            file_bytes=self.file_bytes,
            may_fork=self.may_fork,
        )
        layers |= Layer.LIMITS
        if seccomp.allow_little(may_fork=self.may_fork):
            layers |= Layer.CALLS
        return layers
