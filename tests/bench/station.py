"""Measures what a station promises: ``python tests/bench/station.py MEASURE --model model.regad [--count N]``.

    soak       parts one after the other: nothing lost, memory flat                 (--count 50000)
    kill       SIGKILL of the line at random moments: no PASS stands, rows, gap      (--count 200)
    isolation  a desk that is stopped, and 50 readers that do not read: the p99      (--count 1000)
    overhead   trigger to verdict against Detector.predict on the same frames        (--count 1000)
    replay     stored parts judged again: equal scores, bit for bit                  (--count 1000)

``soak`` and ``kill`` put a backend of no cost in the judge's place, so that the rest is what is measured; the others
run the artifact. Each prints what it found and ends with 1 where a promise is broken. Let nothing run beside it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from station_place import PATIENCE, Place, trigger

from regad.runtime.detector import Detector
from regad.runtime.formats.category import load_category
from regad.runtime.station.codes import Status, VerdictCode
from regad.runtime.station.config import DeskConfig, TraceConfig
from regad.runtime.station.line import Line
from regad.runtime.station.plc_client import ModbusClient, SimulatedPlc
from regad.runtime.station.process import prepare_process
from regad.runtime.station.scene import Scene
from regad.runtime.station.trace.reader import TraceReader

SLOW_READERS = 50
LOST_MS = 100.0
KEPT_UP = 32


def timed(line: Line, count: int) -> list[float]:
    """Milliseconds from the trigger to the verdict, as the caller sees them, of ``count`` parts."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        trigger(line)
        found.append((time.perf_counter() - start) * 1e3)
    return found


def said(name: str, times: list[float]) -> str:
    p50, p99 = np.percentile(times, [50, 99])
    return f"{name:<34} least {min(times):8.3f} ms   p50 {p50:8.3f} ms   p99 {p99:8.3f} ms   n {len(times)}"


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def soak(place: Place, count: int) -> bool:
    sizes = np.ones(count)  # touched, so that the books themselves do not grow
    passed = 0
    trace = TraceConfig(folder=place.folder / "trace", max_gb=0.5, min_free_gb=0.1)
    start = time.monotonic()
    with place.line(trace=trace) as line:
        for part in range(count):
            passed += trigger(line)["verdict"] == "PASS"
            sizes[part] = resident()
            while (lag := line.trace.lag).rows + lag.pictures > KEPT_UP:  # as fast as this disk takes every picture
                time.sleep(0.001)
        seconds = time.monotonic() - start
        line.close()
        lag = line.trace.lag
    tenth = count // 10
    tenths = [float(np.mean(sizes[start : start + tenth])) for start in range(0, 10 * tenth, tenth)]
    second, last = tenths[1], tenths[9]
    with TraceReader(place.folder / "trace") as reader:
        rows = sum(1 for _ in reader.rows())
        gaps = reader.gaps()
    print(f"parts {count} in {seconds:.0f} s ({count / seconds:.0f} a second); PASS {passed}; rows {rows}; gaps {gaps}")
    print(f"rows lost {lag.lost_rows}, pictures left out {lag.left_out}")
    print(f"resident: second tenth {second / 1e6:.1f} MB, last tenth {last / 1e6:.1f} MB ({last / second - 1:+.2%})")
    print("all tenths, MB:", *(f"{size / 1e6:.1f}" for size in tenths))
    return rows == count and not gaps and not lag.lost_rows and not lag.left_out and abs(last / second - 1) < 0.02


class Reel(Scene):
    """Pictures that were drawn beforehand, one after the other: drawing is nobody's cost."""

    def __init__(self, count: int = 64) -> None:
        super().__init__(2)
        self._pictures = [super(Reel, self).picture() for _ in range(count)]
        self._next = 0

    def picture(self) -> NDArray[np.uint8]:
        self._next += 1
        return self._pictures[self._next % len(self._pictures)]


def overhead(place: Place, count: int) -> bool:
    place.scene = Reel()
    alone, whole = [], []
    with place.line() as line:
        detector = line.jobs.take(1).detector
        assert isinstance(detector, Detector)
        for _ in range(count + 20):  # in turns, on the same model and category
            picture = place.scene.picture()
            start = time.perf_counter()
            detector.predict(picture)
            alone.append((time.perf_counter() - start) * 1e3)
            whole += timed(line, 1)
    alone, whole = alone[20:], whole[20:]
    print(said("Detector.predict", alone))
    print(said("trigger to verdict", whole))
    extra = np.percentile(whole, [50, 99]) - np.percentile(alone, [50, 99])
    print(f"overhead: {min(whole) - min(alone):.3f} ms at the least, ", end="")
    print(f"{extra[0]:.3f} ms at the median, {extra[1]:.3f} ms at p99 (wanted: 2 ms at p99)")
    return bool(extra[1] <= 2.0)


def isolation(place: Place, count: int) -> bool:
    desk = DeskConfig(command=(sys.executable, "-c", "import time\nwhile True: time.sleep(0.01)"))
    with place.line(desk=desk) as line:
        timed(line, 20)
        quiet, stopped, crowded = [], [], []
        child = line.desk.child
        assert isinstance(child, subprocess.Popen)
        for _ in range(5):  # in turns, so that the rest of the machine weighs on all alike
            quiet += timed(line, count // 5)
            os.kill(child.pid, signal.SIGSTOP)
            stopped += timed(line, count // 5)
            os.kill(child.pid, signal.SIGCONT)
            with ExitStack() as readers:
                slow_readers(line, readers)
                crowded += timed(line, count // 5)
    print(said("alone", quiet))
    print(said("desk stopped (SIGSTOP)", stopped))
    print(said(f"{SLOW_READERS} readers that do not read", crowded))
    limit = 1.1 * np.percentile(quiet, 99)
    return bool(np.percentile(stopped, 99) <= limit and np.percentile(crowded, 99) <= limit)


def slow_readers(line: Line, stack: ExitStack) -> None:
    """Half on the command socket, half on Modbus; each asks for much and reads nothing."""
    assert line.modbus is not None
    for number in range(SLOW_READERS):
        if number % 2:
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.connect(str(line.config.commands.socket))
            request = b'{"command": "status"}\n'
        else:
            client = socket.create_connection(("127.0.0.1", line.modbus.port))
            request = bytes([0, 1, 0, 0, 0, 6, 1, 3, 0, 100, 0, 20])
        stack.enter_context(client)
        client.setblocking(False)
        with suppress(BlockingIOError):  # as much as there is room for
            client.sendall(request * 1000)


def replay(place: Place, count: int) -> bool:
    with place.line() as line:
        for _ in range(count):
            trigger(line)
    equal = seen = 0
    with Detector.load(place.model, "cpu", 1) as detector, TraceReader(place.folder / "trace") as reader:
        detector.use(load_category(place.category))
        for row in reader.rows():
            kept = reader.input(row["id"])
            assert kept is not None, f"part {row['seq']} has no input"
            seen += 1
            equal += detector.predict_inputs(kept[None])[0].score == row["score"]
    print(f"parts judged again {seen}, scores equal in every bit {equal}")
    return equal == seen == count


def serve(place: Place) -> None:
    """Run a station for a PLC until it is killed: the child of ``kill``."""
    with place.line("modbus") as line:
        assert line.modbus is not None
        print(line.modbus.port, flush=True)
        signal.pause()


def kill(place: Place, count: int) -> bool:
    """Kill the line ``count`` times while a PLC works with it."""
    chance = random.Random(0)
    faults, worst_ms, seen_total, rows_before = [], 0.0, 0, 0
    for number in range(count):
        command = [sys.executable, __file__, "serve", "--model", str(place.model), "--folder", str(place.folder)]
        with subprocess.Popen([*command, "--category", str(place.category)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            port = int(child.stdout.readline())
            seen, stood = work_until_killed(child, port, chance.uniform(0.0, 1.0))
        seen_total += len(seen)
        if stood:
            faults.append(f"kill {number}: a PASS stood at the outputs of a new start")
        missing, rows_before, problem = look(place.folder / "trace", seen, rows_before)
        worst_ms = max(worst_ms, missing)
        if problem:
            faults.append(f"kill {number}: {problem}")
    print(f"kills {count}, parts seen by the PLC {seen_total}, rows {rows_before}")
    print(f"the oldest verdict without a row was put out {worst_ms:.0f} ms before the kill (allowed: {LOST_MS:.0f})")
    for fault in faults:
        print(fault)
    return not faults and worst_ms <= LOST_MS


def work_until_killed(child: Any, port: int, seconds: float) -> tuple[list[tuple[int, float]], bool]:
    """Trigger parts until the child is killed; return (seq, seconds before the kill) of those seen, and an old PASS."""
    seen: list[tuple[int, float]] = []
    with ModbusClient("127.0.0.1", port) as client:
        plc = SimulatedPlc(client)
        first = plc.outputs()
        stood = first.verdict is VerdictCode.PASS or Status.VALID in first.status
        plc.wait_ready(PATIENCE)
        killed: list[float] = []
        killer = threading.Timer(seconds, lambda: (killed.append(time.monotonic()), child.kill()))
        killer.start()
        part = 0
        with suppress(OSError):  # the end, whenever it comes: the kernel takes its time to tear a process down
            while True:
                part += 1
                if plc.judge(part).verdict is VerdictCode.PASS:
                    seen.append((part, time.monotonic()))
        killer.join()
        child.wait()
    try:
        ModbusClient("127.0.0.1", port, 0.2).close()
        stood = True
    except OSError:
        pass
    return [(seq, max(0.0, killed[0] - at)) for seq, at in seen], stood


def look(folder: Path, seen: list[tuple[int, float]], before: int) -> tuple[float, int, str]:
    """How long before the kill the oldest verdict without a row was put out, the rows now, and what is wrong."""
    database = sqlite3.connect(f"file:{folder / 'trace.db'}?mode=ro", uri=True)
    try:
        (sound,) = database.execute("PRAGMA quick_check").fetchone()
        boot, clean = database.execute("SELECT id, clean FROM boot ORDER BY id DESC LIMIT 1").fetchone()
        rows = [row[0] for row in database.execute("SELECT seq FROM inspection WHERE boot = ? ORDER BY seq", (boot,))]
    finally:
        database.close()
    missing = max((ago * 1e3 for seq, ago in seen if seq not in set(rows)), default=0.0)
    problem = "" if sound == "ok" else f"the database is damaged: {sound}"
    if clean:
        problem = problem or "the boot counts as ended in order"
    if rows != list(range(1, len(rows) + 1)):
        problem = problem or f"a gap within the rows: {rows}"
    return missing, before + len(rows), problem


MEASURES: dict[str, tuple[Callable[[Place, int], bool], int, bool]] = {
    "soak": (soak, 50_000, True),
    "kill": (kill, 200, True),
    "isolation": (isolation, 1000, False),
    "overhead": (overhead, 1000, False),
    "replay": (replay, 1000, False),
}


def main() -> int:
    """Run one measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=[*MEASURES, "serve"])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--count", type=int)
    parser.add_argument("--folder", type=Path, help="keep the station here (default: a temporary folder)")
    parser.add_argument("--category", type=Path, help="the drawn part, taught before")
    given = parser.parse_args()
    prepare_process()
    with ExitStack() as stack:
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        if given.measure == "serve":
            serve(Place(folder, given.model, True, given.category))
            return 0
        measure, usual, no_cost = MEASURES[given.measure]
        kept = measure(Place(folder, given.model, no_cost, given.category), given.count or usual)
    print("kept" if kept else "BROKEN")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
