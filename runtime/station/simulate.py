"""A station to try: drawn parts and a simulated PLC; camera thread, judge, outputs and trace are the real ones."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..backends.base import Precision
from ..detector import Detector
from ..errors import OutputError
from ..formats.category import save_category
from ..formats.digest import sha256_of
from ..model import Model
from ..text import Say, system_reason, unsaid
from .codes import VerdictCode
from .config import (
    CameraConfig,
    CommandsConfig,
    Config,
    JobConfig,
    ModbusConfig,
    ModelConfig,
    StationConfig,
    TraceConfig,
    TriggerConfig,
)
from .config_file import FILE_NAME
from .line import Line
from .plc_client import ModbusClient, SimulatedPlc, Verdict
from .process import prepare_process
from .scene import DEFECTS, Defect, DrawnCamera, Scene
from .setup_file import Found, write_new

__all__ = ["Report", "simulate", "simulated_config", "teach_drawn", "write_drawn_station"]

_SHOTS = 4
_DEFECTIVE = 0.2
_READY_S = 30.0


@dataclass(frozen=True)
class Report:
    """What a simulation came to. ``escapes`` are defective parts that passed, ``false_rejects`` good ones that did not.

    ``silent`` parts got no verdict; ``recorded`` is how many rows the trace was given. The times are from the PLC's
    trigger until it had read the verdict, in milliseconds.
    """

    parts: int
    good: int
    defective: int
    escapes: int
    false_rejects: int
    silent: int
    recorded: int
    lost: int
    p50_ms: float
    p99_ms: float
    verdicts: dict[str, int]

    def lines(self) -> list[str]:
        """The report, for people."""
        said = ", ".join(f"{name} {count}" for name, count in sorted(self.verdicts.items()))
        return [
            f"parts {self.parts}: {self.good} good, {self.defective} defective",
            f"verdicts: {said}",
            f"defective parts that passed: {self.escapes}; good parts that did not: {self.false_rejects}",
            f"parts without a verdict: {self.silent}; records: {self.recorded}, lost: {self.lost}",
            f"trigger to verdict, at the PLC: {self.p50_ms:.1f} ms median, {self.p99_ms:.1f} ms at p99",
        ]


def teach_drawn(
    model: Path,
    folder: Path,
    *,
    device: str = "auto",
    precision: Precision = "f32",
    threads: int | None = None,
    seed: int = 0,
) -> Path:
    """Teach the drawn part on an artifact and return its category file in ``folder``. Raises RegadError."""
    scene = Scene(seed)
    with Detector.load(model, device, threads, precision=precision) as detector:
        photos = [scene.picture() for _ in range(_SHOTS)]
        category = detector.fit(photos, registration="off")
    path = folder / "plate.safetensors"
    save_category(category, path)
    return path


def write_drawn_station(
    folder: Path,
    model: Path,
    *,
    rate: float = 1.0,
    device: str = "auto",
    threads: int | None = None,
    say: Say = unsaid,
) -> Path:
    """Make a station in ``folder`` that runs on drawn parts, ``rate`` a second, and return its ``station.toml``.

    Raises OutputError where there is one already, and other RegadErrors as `teach_drawn` does.
    """
    path = folder / FILE_NAME
    if path.exists():
        raise OutputError(f"{path} exists and is left as it is; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made ({system_reason(error)}); name another one") from error
    say("teaching the drawn part")
    category = teach_drawn(model, folder, device=device, threads=threads)
    return write_new(folder, Found(model, (f"drawn:{rate:g}",), (category,)), simulate=True)


def simulated_config(
    model: Path,
    folder: Path,
    category: Path,
    *,
    device: str = "auto",
    precision: Precision = "f32",
    threads: int | None = None,
) -> Config:
    """Return the configuration of a simulated station in ``folder``, for one job with this category file."""
    job = JobConfig(number=1, name="drawn plate", category=category, sha256=sha256_of(category))
    return Config(
        model=ModelConfig(path=model, device=device, precision=precision, threads=threads),
        camera=CameraConfig(source="drawn parts"),
        jobs=(job,),
        station=StationConfig(name="simulated", mode="simulate", autostart=True, job=1),
        trigger=TriggerConfig(kind="modbus", deadline_ms=2000),
        modbus=ModbusConfig(host="127.0.0.1", port=0),
        commands=CommandsConfig(socket=folder / "station.sock"),
        trace=TraceConfig(folder=folder / "trace"),
    )


def simulate(
    model: Path,
    folder: Path,
    *,
    parts: int = 100,
    rate: float = 5.0,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "f32",
    threads: int | None = None,
    say: Say = unsaid,
    each: Callable[[int, Defect | None, Verdict], None] | None = None,
    open_model: Callable[[], Model] | None = None,
    category: Path | None = None,
) -> Report:
    """Run a station on drawn parts and return what came of it; its trace stays in ``folder``.

    A PLC triggers for ``parts`` parts, at most ``rate`` a second, every fifth with a defect, all drawn from ``seed``.
    ``each`` receives every part. ``category`` is a file taught before (`teach_drawn`). Raises RegadError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made ({system_reason(error)}); name another one") from error
    prepare_process()
    if category is None:
        say("teaching the drawn part")
        category = teach_drawn(model, folder, device=device, precision=precision, threads=threads, seed=seed)
    scene = Scene(seed + 1)
    config = simulated_config(model, folder, category, device=device, precision=precision, threads=threads)
    with Line(config, source=lambda: DrawnCamera(scene), model=open_model, say=say) as line:
        line.start()
        assert line.modbus is not None
        with ModbusClient("127.0.0.1", line.modbus.port) as client:
            plc = SimulatedPlc(client)
            plc.wait_ready(_READY_S)
            seen = _drive(plc, scene, parts, rate, seed, each)
        line.close()
        lag = line.trace.lag
        return _report(seen, line.recorded, lag.lost_rows + lag.rows)


def _drive(
    plc: SimulatedPlc,
    scene: Scene,
    parts: int,
    rate: float,
    seed: int,
    each: Callable[[int, Defect | None, Verdict], None] | None,
) -> list[tuple[Defect | None, Verdict]]:
    random = np.random.default_rng(seed)
    seen: list[tuple[Defect | None, Verdict]] = []
    start = time.monotonic()
    for number in range(parts):
        defective = random.random() < _DEFECTIVE
        defect = DEFECTS[int(random.integers(len(DEFECTS)))] if defective else None
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        scene.present(defect)
        verdict = plc.judge(number + 1)
        seen.append((defect, verdict))
        if each is not None:
            each(number + 1, defect, verdict)
    return seen


def _report(seen: list[tuple[Defect | None, Verdict]], recorded: int, lost: int) -> Report:
    passed = [(defect, verdict.verdict is VerdictCode.PASS) for defect, verdict in seen]
    times = [verdict.seconds * 1e3 for _, verdict in seen]
    p50, p99 = np.percentile(times, [50, 99]) if times else (0.0, 0.0)
    return Report(
        parts=len(seen),
        good=sum(defect is None for defect, _ in passed),
        defective=sum(defect is not None for defect, _ in passed),
        escapes=sum(defect is not None and ok for defect, ok in passed),
        false_rejects=sum(defect is None and not ok for defect, ok in passed),
        silent=sum(verdict.verdict is VerdictCode.NONE for _, verdict in seen),
        recorded=recorded,
        lost=lost,
        p50_ms=float(p50),
        p99_ms=float(p99),
        verdicts=dict(Counter(verdict.verdict.name for _, verdict in seen)),
    )
