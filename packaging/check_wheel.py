"""What a wheel must be before it is published: ``check_wheel.py WHEEL MACHINE``. Only the standard library."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

KERNELS = "regad/runtime/_kernels.abi3.so"
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}


def faults(wheel: Path, machine: str) -> list[str]:
    """What is wrong with a wheel that is meant for any Python from 3.10 on, any Linux of its tag, on ``machine``."""
    found = []
    python, abi, platform = wheel.stem.split("-")[-3:]
    if (python, abi) != ("cp310", "abi3") or "manylinux" not in platform or not platform.endswith(machine):
        found.append(f"its tag is {python}-{abi}-{platform}; expected cp310-abi3-manylinux_*_{machine}")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        libraries = [name for name in names if ".so" in Path(name).name]
        if libraries != [KERNELS]:
            found.append(f"its libraries are {libraries}; expected {KERNELS} alone")
        elif (code := int.from_bytes(file.read(KERNELS)[18:20], "little")) != ELF_MACHINES[machine]:
            found.append(f"its kernels are for ELF machine {code}; expected {ELF_MACHINES[machine]}")
        if not any(name.endswith("/licenses/LICENSE") for name in names):
            found.append("it has no licence")
        strays = [name for name in names if not name.startswith("regad") or name.endswith((".cpp", ".hpp", ".pyc"))]
        if strays:
            found.append(f"it holds {', '.join(strays[:5])}")
    return found


def main() -> int:
    """Print the faults, or what is there; the exit status."""
    wheel, machine = Path(sys.argv[1]), sys.argv[2]
    wrong = faults(wheel, machine)
    print(
        "\n".join(f"{wheel.name}: {fault}" for fault in wrong)
        or f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, sound"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
