"""The desk's services, by what the configuration names, from their start to the end of the process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from ..backends.lifecycle import Closing
from ..errors import RegadError
from ..line.stopping import StopSignals
from ..station.config import Config
from ..station.config_file import read_config
from ..text import Say, unsaid
from .link import StationLink
from .service import Health, Service, Surroundings
from .watch import StationWatch

__all__ = ["Desk", "run_desk", "services_of"]

_EVERY = 1.0  # seconds between looks whether the line is there still
Services = Callable[[Surroundings], Iterator[Service]]


def services_of(around: Surroundings) -> Iterator[Service]:
    """Yield the services that the configuration names. Each is imported here, when it is wanted: its extra may lack."""
    config = around.config
    if config.desk is not None:
        from .learning.learning import Learning
        from .web.page import Page

        learning = Learning.of(around)
        yield from learning.services()
        yield Page(around, {"learning": learning})
    if config.mqtt is not None:
        from .sinks.mqtt import MqttSink

        yield MqttSink(around, config.mqtt)
    if config.webhooks:
        from .sinks.webhook import WebhookSink

        yield from (WebhookSink(around, one) for one in config.webhooks)
    if config.opcua is not None:
        from .opcua.service import OpcuaService

        yield OpcuaService(around, config.opcua)


class Desk(Closing):
    """The DESK process's work, from `start` to `close`. A service that cannot start is reported; the others run."""

    def __init__(self, config: Config, path: Path, say: Say = unsaid, services: Services = services_of) -> None:
        link = StationLink(config.commands.socket)
        self.around = Surroundings(config, path, link, StationWatch(link), say, self.health)
        self._services = services
        self._running: list[Service] = []
        self.failed: dict[str, str] = {}

    def start(self) -> None:
        """Start everything. Raises RegadError where no service could."""
        self.around.watch.start()
        for service in self._services(self.around):
            self._begin(service)
        if self.failed and not self._running:
            raise RegadError("no service of the desk could start", remedy="see the lines above")

    def _begin(self, service: Service) -> None:
        try:
            service.start()
        except RegadError as error:
            self.failed[service.name] = str(error)
            self.around.say(f"{service.name}: {error}")
        else:
            self._running.append(service)

    def health(self) -> dict[str, Health]:
        """How each service does, those that could not start included."""
        found = {service.name: service.health() for service in self._running}
        return found | {name: Health(False, text) for name, text in self.failed.items()}

    def close(self) -> None:
        """End every service."""
        while self._running:
            self._running.pop().close()
        self.around.watch.close()
        self.around.link.close()


def run_desk(path: Path, say: Say) -> None:
    """Run the desk of the station in the file ``path`` until SIGTERM, or until the process that started it is gone: a
    line that was killed ends no desk, and the next one needs its ports. Raises RegadError.
    """
    line = os.getppid()
    with StopSignals(signal.SIGTERM) as signals, Desk(read_config(path), path, say) as desk, signals.run() as stop:
        desk.start()
        while os.getppid() == line and not stop.wait(_EVERY):
            pass
