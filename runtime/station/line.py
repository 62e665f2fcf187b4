"""The LINE process: camera, judge, outputs and trace wired together, and the desk looked after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..backends.lifecycle import Closing
from ..errors import OutputError, SourceError
from ..formats.artifact import Artifact
from ..model import Model
from ..sources.frame import Source
from ..sources.open import open_source
from ..text import Say, unsaid
from .camera import CameraThread
from .codes import Fault, Flag, Mode, TriggerKind, VerdictCode
from .commands import CommandServer
from .config import Config
from .configured import camera_settings, desk_command, policy_of, require_desk, settings_of, specs_of
from .desk import Supervisor, spawn
from .desk_requests import DeskRequests
from .effects import Correct, Effect, Expose, Judge, Load, ModeBegun, Rebuild, Record
from .effects import Say as Told
from .events import Booted, Event, Flagged, Halt, JobWanted, PlcWrote, Raised
from .first_parts import FirstParts
from .gpio import Gpio
from .holding import Holding
from .image import PlcWords, ProcessImage
from .installed import Installed
from .io_thread import IoThread
from .jobs import Jobs
from .jobs_thread import JobsThread
from .judge import JudgingThread
from .keeping import Keeper, Recorder
from .live import LiveWriter, live_path
from .machine import Machine
from .modbus import ModbusServer
from .mode_switch import ModeSwitch, starts_in
from .opening import SelfTestError, open_tested
from .part import Answer
from .records import WallClock, inspection_of, record_job
from .registers import INPUT_WORDS, OUTPUT_START, OUTPUT_WORDS, StationRegisters
from .requests import Requests
from .systemd import Notifier
from .trace.entries import Audit
from .trace.writer import Trace
from .upkeep import Upkeep, unanswered
from .worker import Clock, Worker

__all__ = ["Line"]

_CAMERA_SILENT_NS, _JUDGE_SILENT_NS, _GPIO_SILENT_NS = 2_000_000_000, 3_000_000_000, 2_000_000_000
_JUDGED = frozenset({VerdictCode.PASS, VerdictCode.REJECT, VerdictCode.REVIEW, VerdictCode.NO_PART})


class Line(Closing):
    """A station at work, from `start` to `close`. What is given besides the configuration is for simulations and tests.

    ``source`` opens the camera in place of ``camera.source``; such a one gives a frame when it is asked, so no frame
    time is waited for. ``model`` opens the model, in place of `open_tested`. ``path`` is the configuration's file,
    which the DESK process reads: without it only one of the configuration's own command runs.
    """

    def __init__(
        self,
        config: Config,
        *,
        source: Callable[[], Source] | None = None,
        model: Callable[[], Model] | None = None,
        say: Say = unsaid,
        clock: Clock = time.monotonic_ns,
        notifier: Notifier | None = None,
        path: Path | None = None,
    ) -> None:
        self.config = config
        self._mode = starts_in(config)
        self._say = say
        self._clock = clock
        self._notifier = notifier or Notifier("")
        self._upkeep = Upkeep(clock)
        self.trace = Trace(config.trace.folder, policy_of(config), say=say, alarm=self._upkeep.alarm)
        loaded, installed = partial(record_job, self.trace), Installed(config.trace.folder, config.trigger.review_is)
        jobs_bytes = None if config.model.jobs_mb is None else config.model.jobs_mb * 1_000_000
        desked = partial(require_desk, config)
        self.jobs = Jobs(model or self._open_model, specs_of(config), loaded, installed, jobs_bytes, desked)
        self._holding = Holding(config.trace.folder, self._post, self.trace.note)
        self._first_parts = FirstParts(
            config.trace.folder, lambda: self.jobs.table, self.jobs.spec, self._holding.begin
        )
        self._jobs_thread = JobsThread(self.jobs, self._post, self._failed, clock, self._job_begins)
        self._live = None if config.desk is None else LiveWriter(live_path(config.commands.socket))
        self._camera = CameraThread(
            source or self._open_source,
            self._post,
            self._failed,
            camera_settings(config, source is None),
            clock,
            self._live,
        )
        self._judge = JudgingThread(
            self.jobs.pinned, self._post, self._failed, clock, watch_frozen=config.camera.frozen_frames > 0
        )
        self._keeper = Keeper(self.look, self._post, clock, self._failed)
        self._recorder = Recorder(self.trace, self._post, clock, self._failed)
        self.registers = StationRegisters(self._plc_wrote, clock)
        secret = config.camera.secret.env if config.camera.secret else None
        desk = partial(spawn, secret=secret)
        self.desk = Supervisor(desk_command(config, path), self._desk_changed, say, start=desk, clock=clock)
        kind, simulated = TriggerKind(config.trigger.kind), self._mode is Mode.SIMULATE
        desk_requests = DeskRequests(self.trace.note, self._jobs_thread.submit)
        others = (desk_requests, self._holding, ModeSwitch(config, self._post))
        self.requests = Requests(kind, self._post, self._status, clock, *others, simulated=simulated)
        self.modbus = None if config.modbus is None else ModbusServer(config.modbus, self.registers)
        self._gpio: Gpio | None = None
        self._commands = CommandServer(config.commands.socket, self.requests.handle)
        self._io: IoThread | None = None
        self._closed = False
        self.recorded = 0  # parts that the trace was given
        self.judged = 0  # those among them that have a verdict of the judge
        self._performers = self._made_performers()

    def _made_performers(self) -> dict[type, Callable[[Any], None]]:
        """Who carries out what the machine decides."""
        return {
            Expose: self._camera.expose,
            Judge: self._judge.submit,
            Record: self._record,
            Correct: self._correct,
            Load: self._jobs_thread.submit,
            Rebuild: self._jobs_thread.submit,
            ModeBegun: self._mode_begun,
            Answer: _answer,
            Told: self._told,
        }

    @property
    def image(self) -> ProcessImage:
        """The process image as it is now."""
        return self._io.image if self._io else ProcessImage()

    def start(self) -> None:
        """Open everything and begin. Raises RegadError; nothing stays open then.

        A model that fails its self-test is no such error: the station begins in fault 30, and says why.
        """
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        boot = self.trace.open(artifact=Artifact.open(self.config.model.path).hash)
        self._boot, self.wall = boot, WallClock(boot.clock_ok, self._clock)
        if not boot.clean_before:
            self.trace.event("warning", 0, "the previous run did not shut down cleanly")
        if self._mode.value != self.config.station.mode:
            said = (
                "the station starts in shadow: somebody switched it to shadow, and nobody has switched it to live since"
            )
            self._told(Told("warning", Fault.NONE, said))
        machine = Machine(replace(settings_of(self.config), mode=self._mode), boot.id)
        if self.config.gpio is not None:
            self._gpio = Gpio(self.config.gpio, self._post, self._failed, self._clock)
        self._io = IoThread(machine, self._put_out, self._perform, self._trouble, self._failed, self._clock)
        self._open_jobs()
        for thread in (self._camera, self._judge, self._jobs_thread, self._recorder, self._io):
            thread.start()
        self._holding.restore()
        self._post(Booted())
        if self.config.station.job is not None:
            self._post(JobWanted(self.config.station.job))
        if self._gpio is not None:
            self._gpio.start()
        if self.modbus is not None:
            self.modbus.start()
        self._commands.start()
        self._keeper.start()
        self._notifier.tell("READY=1")

    def _open_jobs(self) -> None:
        try:
            self.jobs.open()
        except SelfTestError as error:
            self._post(Raised(Fault.JUDGE, str(error)))
        for text in self.jobs.errors.values():
            self._told(Told("warning", Fault.CATEGORY, text))
        try:
            self._first_parts.begin()
        except OutputError as error:
            self._told(Told("warning", Fault.NONE, str(error)))
        for text in self.jobs.notes:
            self._told(Told("info", Fault.NONE, text))

    def close(self) -> None:
        """End: no result stays at the outputs, what was judged is recorded."""
        if self._closed:
            return
        self._closed = True
        self._notifier.tell("STOPPING=1")
        self._keeper.stop()
        self._commands.close()
        if self._io is not None:
            self._io.finish(Halt())
        if self._gpio is not None:
            self._gpio.close()
        if self.modbus is not None:
            self.modbus.close()
        for thread in (self._camera, self._judge, self._recorder, self._jobs_thread):
            thread.stop()
        self.desk.close()
        if self._live is not None:
            self._live.close()
        self.trace.close()
        self.jobs.close()
        self._notifier.close()

    # From the threads to the machine.

    def _post(self, event: Event) -> None:
        if self._io is not None:
            self._io.post(event)

    def _plc_wrote(self, words: PlcWords) -> None:
        self._post(PlcWrote(words, self._clock()))

    def _failed(self, text: str) -> None:
        self._say(text)
        self.trace.event("alarm", Fault.INTERNAL, text)

    def _job_begins(self, number: int) -> None:
        """A job that is to be challenged first begins held: that event comes before its `JobReady`."""
        try:
            self._first_parts.load(number)
        except OutputError as error:  # where it is to be held it is all the same
            self._failed(f"job {number} begins, and what its challenge rests on could not be written down: {error}")

    def _desk_changed(self, running: bool) -> None:
        self._post(Flagged(Flag.DESK_OFFLINE, not running))

    def _trouble(self) -> str:
        """Which thread does not answer; called with each heartbeat, so systemd hears of the line's health here."""
        watched: list[tuple[Worker, int]] = [(self._camera, _CAMERA_SILENT_NS), (self._judge, _JUDGE_SILENT_NS)]
        if self._gpio is not None:
            watched.append((self._gpio.thread, _GPIO_SILENT_NS))
        found = unanswered(watched)
        if not found:
            self._notifier.tell("WATCHDOG=1")
        return found

    # From the machine to the outputs and the threads.

    def _put_out(self, image: ProcessImage) -> None:
        self.registers.publish(image)
        if self._gpio is not None:
            self._gpio.publish(image)

    def _perform(self, effect: Effect) -> None:
        self._performers[type(effect)](effect)

    def _record(self, effect: Record) -> None:
        self.recorded += 1
        self.judged += effect.outcome.verdict in _JUDGED
        self.trace.add(inspection_of(effect, self._boot, self._mode, self.wall))
        if effect.first:
            self._recorder.submit(effect.part.token)

    def _mode_begun(self, effect: ModeBegun) -> None:
        """Rows of parts after this one say so; who asked for it is recorded."""
        self._mode = effect.mode
        now, before = self.wall.look()[0], effect.before.value
        self.trace.note(Audit(by=effect.by, at=now, action="mode", before=before, after=effect.mode.value))
        self._told(Told("info", Fault.NONE, f"the mode is {effect.mode.value}, it was {before}: {effect.by}"))

    def _correct(self, effect: Correct) -> None:
        self.trace.correct(effect.seq, effect.output, effect.late)

    def _told(self, effect: Told) -> None:
        self._say(effect.text)
        self.trace.event(effect.severity, effect.fault, effect.text)

    # What the line is made of.

    def _open_model(self) -> Model:
        model = open_tested(self.config.model)
        self._told(Told("info", Fault.NONE, f"judging on {model.device}"))
        return model

    def _open_source(self) -> Source:
        source = open_source(self.config.camera.uri())
        if not source.live and self._mode is not Mode.SIMULATE:
            source.close()
            raise SourceError(
                f"camera.source {source.uri} is a recording, and station.mode is {self._mode.value}: name a camera, or "
                'set station.mode = "simulate"'
            )
        return source

    def _status(self) -> dict[str, Any]:
        """What the line knows besides the process image."""
        lag = self.trace.lag
        return {
            "station": self.config.station.name,
            "mode": self._mode.value,
            "held": self._holding.state,
            "asked": self._first_parts.state,
            "boot": self._boot.id,
            "trace": lag._asdict(),
            "modbus": None if self.modbus is None else self.modbus.state._asdict(),
            "words": {
                "in": self.registers.read(0, INPUT_WORDS),
                "out": self.registers.read(OUTPUT_START, OUTPUT_WORDS),
            },
            "image": self.image,
        }

    def look(self) -> None:
        """Look after what has no thread of its own: the desk, the memory, the disk, the clock, the servers."""
        self.desk.poll()
        self._upkeep.look(self._keeper.tell, self.trace, self.wall.look()[1], self._failures())

    def _failures(self) -> Iterator[str]:
        """What has failed for good."""
        if self._gpio is not None and self._gpio.failure:
            yield f"the digital inputs and outputs fail: {self._gpio.failure}"
        for server in (self.modbus, self._commands):
            if server is not None and server.failure is not None:
                yield f"a server of the station ended: {server.failure}"


def _answer(effect: Answer) -> None:
    if effect.reply is not None:
        effect.reply(effect)
