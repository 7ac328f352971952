import pytest

from eutectic.units import convert, known


def test_units_pint_reads():
    assert convert(1.0, "g/cm3", "kg/m^3") == pytest.approx(1000.0)
    assert convert(1.0, "W·m⁻¹·K⁻¹", "W/(m*K)") == pytest.approx(1.0)
    assert convert(1.0, "bananas", "kg") is None
    assert convert(1.0, "(", "kg") is None


@pytest.mark.parametrize("unit", ["GPa", "MJ/m3", "W·m⁻¹·K⁻¹", "°C", "%", "MPa·m^0.5", ""])
def test_known_units(unit):
    assert known(unit)


@pytest.mark.parametrize("unit", ["furlongs of silk", "GPascals", "5", "(", "m^99", "a" * 41])
def test_words_and_numbers_are_no_units(unit):
    assert not known(unit)
