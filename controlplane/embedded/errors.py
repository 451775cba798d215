"""What can go wrong while the embedded stack starts, each with what to do next in its text."""

from pathlib import Path


class EmbeddedError(Exception):
    """The stack cannot start; the text is shown to the person as it is."""


class StepFailed(EmbeddedError):
    """A process ended or did not answer in time; `log` is the file with its output."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message)
        self.log = log


class StopRequested(Exception):
    """A stop was asked for while something was still being started."""
