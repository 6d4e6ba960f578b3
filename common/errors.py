"""The one error root. Each subclass says who is to blame, so that the caller knows what to do.

Every message names the offending value; ``hint`` says what to do about it and is shown by the CLI on its own line.
"""

from __future__ import annotations


class BreakwaterError(Exception):
    """Root of every error this project raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(BreakwaterError):
    """A setting or command-line value cannot be used: the user corrects it."""


class InputError(BreakwaterError):
    """A file or request handed in by the user is missing, foreign or damaged."""


class RecordError(BreakwaterError):
    """One record cannot be decoded or violates its schema: it goes to the dead letters."""


class SchemaError(BreakwaterError):
    """A schema is missing, unsupported or incompatible: nothing was written."""


class InvariantError(BreakwaterError):
    """A promise of our own is broken: stop, then recover by replay."""


class ConflictError(BreakwaterError):
    """Another writer owns what this one tried to write: stop or seek again."""


class UnavailableError(BreakwaterError):
    """An outside part does not answer: the shell retries, then says which part and where."""
