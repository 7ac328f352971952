"""Measured properties of the chemical elements, as documents with quantities."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

DATABASE = "mendeleev/elements.db"
LAST = 83  # up to bismuth: the elements beyond have few measured values
ROOM_TEMPERATURE = 300.0  # K; only elements solid there, so that density and conductivity speak of the solid
# Column, name in sentences, unit as in the source's table of properties.
QUANTITIES = (
    ("melting_point", "melting point", "K"),
    ("density", "density", "g/cm^3"),
    ("thermal_conductivity", "thermal conductivity", "W/m/K"),
    ("specific_heat_capacity", "specific heat capacity", "J/g/K"),
    ("covalent_radius_cordero", "covalent radius", "pm"),
    ("en_pauling", "electronegativity on the Pauling scale", ""),
)
_QUERY = """
    SELECT e.name, p.melting_point, e.density, e.thermal_conductivity, e.specific_heat_capacity, e.covalent_radius_cordero, e.en_pauling
    FROM elements e JOIN phasetransitions p ON p.atomic_number = e.atomic_number
    WHERE e.atomic_number <= ? AND p.allotrope IS NULL AND p.melting_point > ? ORDER BY e.atomic_number
"""


def extract(mendeleev: Path, out: Path) -> None:
    """Write `elements.jsonl` into `out`: one document an element that is solid at room temperature."""
    database = out / ".elements.db"
    with zipfile.ZipFile(mendeleev) as archive:
        database.write_bytes(archive.read(DATABASE))
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        rows = connection.execute(_QUERY, (LAST, ROOM_TEMPERATURE)).fetchall()
    finally:
        connection.close()
        database.unlink()
    lines = [json.dumps(document(name, values), ensure_ascii=False) for name, *values in rows]
    (out / "elements.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def document(name: str, values: list[float | None]) -> dict[str, Any]:
    """A document with the quantities that are known."""
    quantities = [
        {"name": quantity, "value": value, "unit": unit}
        for (_, quantity, unit), value in zip(QUANTITIES, values, strict=True)
        if value is not None
    ]
    return {"id": f"element:{name.lower()}", "title": name.lower(), "licence": "MIT", "quantities": quantities}
