"""Energy is added up over all packages, whose counters begin again, and is unknown where none can be read."""

from __future__ import annotations

from pathlib import Path

from scratchlm.base.energy import EnergyCounter


def counter(folder: Path, name: str, place: str, now: int) -> None:
    path = folder / place
    path.mkdir(exist_ok=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text("9999999\n")
    (path / "energy_uj").write_text(f"{now}\n")


def test_packages_are_added_up_and_parts_of_them_are_not(tmp_path: Path) -> None:
    def counters(first: int, second: int) -> None:
        counter(tmp_path, "package-0", "intel-rapl:0", first)
        counter(tmp_path, "core", "intel-rapl:0:0", first // 2)
        counter(tmp_path, "package-1", "intel-rapl:1", second)
        counter(tmp_path, "psys", "intel-rapl:2", first + second)

    counters(1_000_000, 9_000_000)
    counted = EnergyCounter(tmp_path)
    assert counted.look() == 0.0
    counters(3_000_000, 9_500_000)
    assert counted.look() == 2.5
    counters(3_000_000, 500_000)  # the second began again after 9,999,999
    assert counted.look() == 3.5


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    assert EnergyCounter(tmp_path).look() is None
    (tmp_path / "intel-rapl:0").mkdir()
    assert EnergyCounter(tmp_path).look() is None
