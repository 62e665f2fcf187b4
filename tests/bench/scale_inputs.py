"""What docs/scale.md starts from: costs that were measured, and machines by their data sheets.

Milliseconds, megabytes (1e6 bytes) and gigabytes a second (1e9). Change them for your machine and run scale.py.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CPU", "MACHINES", "MEASURED", "Machine", "Measured"]


class Machine(NamedTuple):
    """A machine by its data sheet. ``pcie``: GB/s one way, 0 where CPU and GPU share memory; ``peak``: fp32 TFLOP/s."""

    name: str
    cores: int
    memory: float
    bandwidth: float
    pcie: float
    peak: float
    source: str


class Measured(NamedTuple):
    """A cost that was measured, and where."""

    value: float
    unit: str
    what: str
    where: str


MEASURED = {
    "jpeg": Measured(17.2, "ms", "read a 1080p JPEG, quality 90", "`scale.py --measure`, EPYC, processor time"),
    "jpeg_kept": Measured(7.1, "ms", "the same, glibc keeping freed memory", "the same"),
    "jpeg_mb": Measured(0.37, "MB", "that JPEG", "the same"),
    "ppm": Measured(13.9, "ms", "read the same frame as a PPM, 6.2 MB", "the same"),
    "ppm_kept": Measured(3.0, "ms", "the same, glibc keeping freed memory", "the same"),
    "shrink_epyc": Measured(1.5, "ms", "preprocess 1080p to 224x224, one thread", "the same"),
    "shrink": Measured(1.8, "ms", "the same on the H100's host", "speed.md"),
    "encode": Measured(13.4, "ms", "encode in fp32, 2 threads", "speed.md, EPYC"),
    "score": Measured(1.15, "ms", "score, k = 4", "speed.md, EPYC"),
    "pass": Measured(0.92, "ms", "one pass over its statistics", "speed.md, EPYC"),
    "frame": Measured(17.8, "ms", "1080p frame in memory to verdict", "speed.md, EPYC"),
    "batch_h100": Measured(
        2.4, "ms", "a frame in batches of 8, k = 4, RegAD's scoring, shrinking in it", "speed.md, H100"
    ),
    "file": Measured(45.0, "MB", "the default's statistics in memory, k = 4", "speed.md"),
    "dense": Measured(72.0, "MB", "the same on a GPU", "triton.md"),
    "file_regad": Measured(169.0, "MB", "RegAD's statistics in memory, k = 4", "triton.md"),
    "dense_regad": Measured(219.0, "MB", "the same on a GPU", "one scorer with its statistics"),
    "miss": Measured(550.0, "ms", "read a category of 44 MB again (400 to 700)", "triton.md, a busy machine"),
    "served": Measured(6.0, "%", "lost on the way through Triton, 8 clients", "triton.md, 2 shared cores"),
}

CPU = "2 cores, no GPU"
MACHINES = (
    Machine(CPU, 2, 0, 0, 0, 0, "the EPYC of speed.md"),
    Machine("Jetson AGX Orin 64 GB", 12, 64, 204.8, 0, 5.3, "NVIDIA's data sheet of the Jetson AGX Orin series"),
    Machine("L4 + 16 cores", 16, 24, 300, 32, 30.3, "NVIDIA's L4 data sheet; PCIe 4.0 x16"),
    Machine("L40S + 16 cores", 16, 48, 864, 32, 91.6, "NVIDIA's L40S data sheet; PCIe 4.0 x16"),
    Machine("H100 SXM + 16 cores", 16, 80, 3350, 64, 67.0, "NVIDIA's H100 data sheet; PCIe 5.0 x16"),
)
