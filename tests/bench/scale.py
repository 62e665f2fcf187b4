"""The arithmetic of docs/scale.md: measured costs and data sheets to what N cameras need.

    python tests/bench/scale.py                       # print the tables
    python tests/bench/scale.py --write docs/scale.md  # put them between the page's marks
    python tests/bench/scale.py --measure PHOTO       # what reading a 1080p frame of each kind costs on this machine

Standard library alone, but for --measure. Milliseconds, megabytes (1e6 bytes) and gigabytes a second (1e9).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import ceil
from pathlib import Path

from scale_inputs import MACHINES, MEASURED, Machine

__all__ = ["MACHINES", "MEASURED", "encoder_gflop", "encoder_layers", "page_with_tables", "tables"]

LINKS = {"1 GbE": 0.125, "10 GbE": 1.25}
RAW_MB = 1920 * 1080 * 3 / 1e6
INPUT_MB = 224 * 224 * 3 / 1e6
PARTS, CAMERAS, RATE = 100, (10, 100, 1000), 1.0
_MARKS = re.compile(r"(<!-- scale: (\w+) -->\n).*?(<!-- scale: end -->)", re.DOTALL)


def _of(name: str) -> float:
    return MEASURED[name].value


def encoder_layers() -> list[tuple[int, int, int, int]]:
    """ResNet-18 up to its third block on 224x224: kernel, channels in and out, and side of each convolution."""
    layers = [(7, 3, 64, 112), *[(3, 64, 64, 56)] * 4]
    for made, side in ((128, 28), (256, 14)):
        layers += [(3, made // 2, made, side), *[(3, made, made, side)] * 3, (1, made // 2, made, side)]
    return layers


def encoder_gflop() -> float:
    """Of one image: two operations for each product with its sum."""
    return sum(2 * kernel**2 * given * made * side**2 for kernel, given, made, side in encoder_layers()) / 1e9


def floor_ms(machine: Machine, statistics_mb: float) -> float:
    """The GPU's part of a frame, at the peaks of its data sheet: the encoder's arithmetic, then the statistics once."""
    return encoder_gflop() / machine.peak + statistics_mb / machine.bandwidth


def share_of_peak() -> float:
    """What the H100 reached of that in batches of 8: its floor by the GPU's part of the measured frame."""
    return floor_ms(MACHINES[-1], _of("dense_regad")) / (_of("batch_h100") - _of("shrink"))


def gpu_ms(machine: Machine) -> float:
    """The GPU's part of a frame to plan with: the floor at the H100's share of peak."""
    return floor_ms(machine, _of("dense")) / share_of_peak()


def compute_ms(machine: Machine) -> float:
    """Encoding and scoring of a frame, wherever they run."""
    return gpu_ms(machine) if machine.peak else _of("encode") + _of("score")


def host_ms(machine: Machine, read: str = "jpeg") -> float:
    """Reading a frame and shrinking it, on one core."""
    return _of(read) + _of("shrink" if machine.peak else "shrink_epyc")


def process_rate(machine: Machine, read: str = "jpeg") -> float:
    """Frames a second of one process: it reads, shrinks and computes in turn, less what the server costs."""
    return 1000 / (host_ms(machine, read) + compute_ms(machine)) * (1 - _of("served") / 100)


def host_rate(machine: Machine, read: str = "jpeg") -> float:
    """Frames a second that all cores read and shrink."""
    return machine.cores * 1000 / host_ms(machine, read)


def compute_rate(machine: Machine) -> float:
    """Frames a second that are encoded and scored."""
    return 1000 / compute_ms(machine)


def bandwidth_rate(machine: Machine) -> float:
    """Frames a second by reading the statistics alone."""
    return 1000 * (machine.bandwidth / _of("dense") if machine.peak else 1 / _of("pass"))


def machine_rate(machine: Machine, read: str = "jpeg") -> float:
    """Frames a second of a machine with as many processes as it has cores."""
    if not machine.peak:  # its cores compute too, both at one frame
        return process_rate(machine, read)
    return min(host_rate(machine, read), compute_rate(machine)) * (1 - _of("served") / 100)


def first_limit(machine: Machine) -> str:
    """What a machine runs out of first."""
    if not machine.peak:
        return "the cores"
    return "the cores: reading and shrinking" if host_rate(machine) < compute_rate(machine) else "the GPU: encoder"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(line) + " |" for line in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _number(value: float) -> str:
    """Two digits that count, thousands with a comma."""
    if value <= 0:
        return "-"
    digits = max(0, 2 - len(str(int(value)))) if value >= 1 else 3 if value < 0.1 else 2
    if value >= 100:
        value = round(value, 2 - len(str(int(value))))
    return f"{value:,.{digits}f}"


def measured_table() -> str:
    """The inputs that were measured."""
    return _table(
        ("name", "value", "what", "measured"),
        ([f"`{name}`", f"{one.value:g} {one.unit}", one.what, one.where] for name, one in MEASURED.items()),
    )


def sheet_table() -> str:
    """The inputs of the data sheets."""
    return _table(
        ("machine", "cores", "memory, GB", "GB/s", "PCIe, GB/s one way", "fp32, TFLOP/s", "source"),
        (
            [
                one.name,
                str(one.cores),
                *(f"{value:g}" if value else "-" for value in (one.memory, one.bandwidth, one.pcie, one.peak)),
                one.source,
            ]
            for one in MACHINES
        ),
    )


def frame_table() -> str:
    """What each resource carries of 1080p JPEGs, in frames a second."""
    kept = partial(process_rate, read="jpeg_kept"), partial(host_rate, read="jpeg_kept")
    rows: list[tuple[str, str, Callable[[Machine], float]]] = [
        ("one process", "(1 - served) / (jpeg + shrink + GPU or encode + score)", process_rate),
        ("the same, memory kept", "with jpeg_kept", kept[0]),
        ("all cores, reading and shrinking", "cores / (jpeg + shrink)", host_rate),
        ("the same, memory kept", "with jpeg_kept", kept[1]),
        ("encoding and scoring, to plan with", "share of peak x the next row", compute_rate),
        ("the same at the peaks", f"1 / ({encoder_gflop():.1f} GFLOP / peak + dense / bandwidth)", _peak_rate),
        ("memory bandwidth, statistics alone", "bandwidth / dense; 1 / pass", bandwidth_rate),
        ("PCIe, the encoder's input", "PCIe / 0.15 MB", lambda one: 1000 * one.pcie / INPUT_MB),
        ("**the machine**", "the least of cores and GPU, less served", machine_rate),
        ("**the machine, memory kept**", "with jpeg_kept", partial(machine_rate, read="jpeg_kept")),
    ]
    return _table(
        ("frames a second", "formula", *(one.name for one in MACHINES)),
        ([what, formula, *(_number(rate(one)) for one in MACHINES)] for what, formula, rate in rows),
    )


def _peak_rate(machine: Machine) -> float:
    return 1000 / floor_ms(machine, _of("dense")) if machine.peak else 0.0


def network_table() -> str:
    """What a link carries and the server's cores pay, by what is sent."""
    sent = (
        ("raw RGB as PPM, 1080p", RAW_MB, "ppm"),
        ("JPEG, 1080p", _of("jpeg_mb"), "jpeg"),
        ("the encoder's input, to `--kind graphs`", INPUT_MB, ""),
    )
    server = MACHINES[-1]

    def cost(read: str) -> str:
        return f"{host_ms(server, read):.1f} ({host_ms(server, read + '_kept'):.1f})" if read else "0"

    return _table(
        ("sent", "MB a frame", *(f"{name}, frames a second" for name in LINKS), "ms of a core (memory kept)"),
        (
            [what, f"{size:.2f}", *(_number(1000 * rate / size) for rate in LINKS.values()), cost(read)]
            for what, size, read in sent
        ),
    )


def fleet_table() -> str:
    """Machines for so many cameras, and what runs out first."""

    def needed(machine: Machine, cameras: int) -> str:
        load = cameras * RATE / machine_rate(machine)
        return f"{_number(100 * load)} % of one" if load <= 1 else f"{ceil(load)}"

    return _table(
        ("cameras, a frame a second each", *(one.name for one in MACHINES)),
        [
            *([f"{count:,}", *(needed(one, count) for one in MACHINES)] for count in CAMERAS),
            ["saturates first", *map(first_limit, MACHINES)],
        ],
    )


def parts_table() -> str:
    """What a hundred parts take."""
    gpus = MACHINES[1:]
    rows = [
        ("default", _of("file"), _of("dense")),
        ("RegAD's scoring", _of("file_regad"), _of("dense_regad")),
    ]
    return _table(
        (f"{PARTS} parts, k = 4", "in host memory, GB", "on a GPU, GB", *(f"of {one.name}" for one in gpus)),
        (
            [
                name,
                f"{PARTS * file / 1000:.1f}",
                f"{PARTS * dense / 1000:.1f}",
                *(f"{PARTS * dense / one.memory / 10:.0f} %" for one in gpus),
            ]
            for name, file, dense in rows
        ),
    )


def work_table() -> str:
    """An archive, a roll-out and a miss."""
    images, stations, l4 = 1_000_000, 1000, MACHINES[2]
    alone = images / process_rate(MACHINES[0]) / 3600
    sent = stations * _of("file") / 1000
    late = _of("miss") / 1000 * process_rate(l4)
    return _table(
        ("work", "formula", "takes"),
        [
            ("1,000,000 JPEGs on one node of 2 cores", "images / one process", f"{alone:.1f} h"),
            ("the same on 10 such nodes", "a tenth, without Ray's restarts", f"{alone * 6:.0f} min"),
            (
                f"a part to {stations:,} stations at once",
                f"{stations:,} x file = {sent:.0f} GB / 10 GbE",
                f"{sent / LINKS['10 GbE']:.0f} s",
            ),
            (
                "a part that is not in memory, at Triton",
                "miss x one process of the L4",
                f"as long as {late:.0f} frames",
            ),
        ],
    )


def tables() -> dict[str, str]:
    """The tables of the page by their marks."""
    return {
        "measured": measured_table(),
        "sheets": sheet_table(),
        "frame": frame_table(),
        "network": network_table(),
        "fleet": fleet_table(),
        "parts": parts_table(),
        "work": work_table(),
    }


def page_with_tables(page: str) -> str:
    """The page with each table in its place. Raises KeyError for a mark that no table has."""
    made = tables()
    return _MARKS.sub(lambda found: f"{found[1]}\n{made[found[2]]}\n\n{found[3]}", page)


def measure(photo: Path, repeats: int = 30) -> str:
    """What a photo scaled to 1080p costs to read and to shrink: processor time, the best of ``repeats``."""
    import io
    import time

    from PIL import Image

    from regad.runtime.formats.spec import InputSpec
    from regad.runtime.imaging.preprocess import preprocess
    from regad.runtime.imaging.reading import read_picture

    with Image.open(photo) as opened:
        frame = opened.convert("RGB").resize((1920, 1080), Image.Resampling.LANCZOS)

    def best(work: Callable[[], object]) -> float:
        times = []
        for _ in range(repeats):
            start = time.thread_time()
            work()
            times.append(time.thread_time() - start)
        return min(times) * 1e3

    lines = []
    for kind, options in (("JPEG", {"quality": 90}), ("PNG", {}), ("PPM", {})):
        frame.save(held := io.BytesIO(), kind, **options)
        data = held.getvalue()
        cost = best(partial(read_picture, kind, data=data))
        lines.append(f"{kind}: {cost:.2f} ms, {len(data) / 1e6:.2f} MB")
    pixels = read_picture("PPM", data=data).image
    return "\n".join([*lines, f"preprocess: {best(partial(preprocess, pixels, InputSpec())):.2f} ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--measure", type=Path)
    given = parser.parse_args()
    if given.measure:
        print(measure(given.measure))
    elif given.write:
        given.write.write_text(page_with_tables(given.write.read_text()))
    else:
        print("\n\n".join(tables().values()))


if __name__ == "__main__":
    main()
