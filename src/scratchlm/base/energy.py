"""Energy that the processors took, where the system counts it.

Linux keeps a counter of microjoules for each package of processor and caches (RAPL), of Intel's and AMD's. It begins
again at 0 after some minutes or hours, so it is looked at now and then. Many systems let only root read it. Source:
https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

from pathlib import Path

COUNTERS = Path("/sys/class/powercap")


class EnergyCounter:
    """Adds up the energy of all packages since it was made: that of the whole machine, whoever used it."""

    def __init__(self, counters: Path = COUNTERS) -> None:
        packages = [
            (path, _package(path)) for path in sorted(counters.glob("intel-rapl:*")) if path.name.count(":") == 1
        ]
        self._packages = {path: package for path, package in packages if package is not None}
        """Packages, and the microjoules after which the counter of each begins again."""
        self._last = {path: _read(path / "energy_uj") for path in self._packages}
        self._sum = 0

    def look(self) -> float | None:
        """Return the joules so far, or None where nothing is counted."""
        if not self._packages:
            return None
        for path, package in self._packages.items():
            now, before = _read(path / "energy_uj"), self._last[path]
            if now is not None and before is not None:
                self._sum += (now - before) % (package + 1)
                self._last[path] = now
        return self._sum / 1e6


def _package(path: Path) -> int | None:
    """Return the largest value of a package's counter; None for another part, and where it may not be read."""
    try:
        if not (path / "name").read_text(encoding="ascii").startswith("package"):
            return None
    except OSError:
        return None
    return None if _read(path / "energy_uj") is None else _read(path / "max_energy_range_uj")


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
