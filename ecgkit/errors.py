"""The one error that a user's mistake or a bad file raises: one line that says what, where, and what to do."""

from __future__ import annotations


class EcgkitError(ValueError):
    """A mistake in the input, told in one line; the command line prints it and exits with code 2."""


class RecordError(EcgkitError):
    """A recording that cannot be used.

    Parameters
    ----------
    record : str
        Name or path of the recording.
    reason : str
        What is wrong with it, and where the fault lies (a lead, a file, a sample).
    """

    def __init__(self, record: str, reason: str) -> None:
        super().__init__(record, reason)
        self.record = record
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.record}: {self.reason}"
