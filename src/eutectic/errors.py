"""Errors a user may meet: one readable paragraph each, never a traceback.

Two kinds exist because the command has two failing exit codes: `InputError` (2) says the request
or its input was wrong, `WorkError` (1) says that sound input could not be worked on.
"""

from __future__ import annotations

from pathlib import Path


class EutecticError(Exception):
    """Base of every error that Eutectic raises on purpose; `str()` is the whole paragraph."""

    exit_code = 1

    def __init__(self, found: str, *, remedy: str = "", file: Path | str | None = None, line: int | None = None, place: str = "") -> None:
        """`found` says what is wrong, `file`, `line` and `place` say where, `remedy` what to do."""
        self.found, self.remedy, self.file, self.line, self.place = found, remedy, file, line, place
        super().__init__(found)

    def __str__(self) -> str:
        where = [f"{self.file}, line {self.line}" if self.line else str(self.file)] if self.file else []
        where += [self.place] if self.place else []
        parts = [f"{': '.join(where)}: {self.found}" if where else self.found, self.remedy]
        return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part)

    def at(self, *, file: Path | str | None = None, line: int | None = None, place: str = "") -> EutecticError:
        """The same error with a place filled in where it had none; errors deep down do not know the study file."""
        return type(self)(
            self.found,
            remedy=self.remedy,
            file=self.file or file,
            line=self.line or (line if not self.file else None),
            place=self.place or place,
        )


class InputError(EutecticError):
    """The request or its input was wrong (exit code 2)."""

    exit_code = 2


class WorkError(EutecticError):
    """The input was sound, yet the work failed (exit code 1)."""
