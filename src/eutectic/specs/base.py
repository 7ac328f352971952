"""The base class of every spec and row: frozen, strict about unknown keys."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A frozen description. `identity()` is the part that enters a key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """The spec as plain JSON types without fields at their default: a new field leaves old keys alone while neutral.

        A changed default must therefore bump the revision of its kind (`study.work`).
        """
        return self.model_dump(mode="json", exclude_defaults=True)
