"""Measures what page, MQTT and OPC UA cost the line: ``python tests/bench/protocols.py --model model.regad``.

The line judges drawn parts; beside it runs its desk with a broker of its own, 10 subscribers, 4 OPC UA clients that
subscribe to every result and ask for lists without a pause, and a browser's requests: events, the live picture and the
list of parts. In turns all of that is stopped (SIGSTOP) and let go. Ends with 1 if the p99 of trigger to verdict rises
by more than 10 %. The clients run at the lowest priority: in a plant they are other machines. ``--busy spin`` is the
control, a loop of the lowest priority: what any program on the same processors costs. Needs mosquitto, asyncua and
chrt. Let nothing run beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from station import PATIENCE, Place, said, timed

from regad.runtime.station.config import DeskConfig
from regad.runtime.station.line import Line
from regad.runtime.station.process import prepare_process
from regad.runtime.station.scene import DrawnCamera
from regad.runtime.station.users import set_password

BUSY = ("page", "mqtt", "opcua")
CONTROL = "spin"
SUBSCRIBERS, CLIENTS = 10, 4
TURN = 100
USER, PASSWORD = "bench", "a password of the bench"
NODESET = Path(__file__).parents[2] / ".deps/opcua/Opc.Ua.MachineVision.NodeSet2.xml"
TABLES = """
[station]
name = "simulated"
mode = "simulate"
job = 1
[model]
path = "model"
[camera]
source = "drawn parts"
[[job]]
number = 1
name = "drawn plate"
category = "{category}"
sha256 = "{zeros}"
[commands]
socket = "{folder}/station.sock"
[trace]
folder = "{folder}/trace"
[desk]
port = {page}
[mqtt]
host = "127.0.0.1"
port = {broker}
tls = false
[opcua]
nodeset = "{nodeset}"
port = {opcua}
anonymous = true
unencrypted = true
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    end = time.monotonic() + 3 * PATIENCE
    while True:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        assert time.monotonic() < end, f"nothing listens at port {port}"
        time.sleep(0.2)


async def opcua_client(url: str) -> None:
    """Hear every event, and ask for the list of results again and again."""
    from asyncua import Client, ua

    class Deaf:
        def event_notification(self, event: Any) -> None:
            pass

    async with Client(url) as client:
        vision = await client.get_namespace_index("http://opcfoundation.org/UA/MachineVision")
        own = await client.get_namespace_index("urn:regad:station:simulated")
        await client.load_data_type_definitions()
        subscription = await client.create_subscription(100, Deaf())
        await subscription.subscribe_events(client.nodes.server, client.get_node(ua.NodeId(1024, vision)))
        results = await client.nodes.objects.get_child([f"{own}:VisionSystem", f"{vision}:ResultManagement"])
        kinds = ("MeasId", "PartId", "RecipeIdExternal", "RecipeIdInternal", "ConfigurationId", "ConfigurationId")
        ids = [getattr(ua, f"{kind}DataType")() for kind in (*kinds, "ProductId", "JobId")]
        given = [ua.Variant(0, ua.VariantType.Int32), *(ua.Variant(one, ua.VariantType.ExtensionObject) for one in ids)]
        given += [ua.Variant(20, ua.VariantType.UInt32), ua.Variant(0, ua.VariantType.UInt32)]
        while True:
            await results.call_method(f"{vision}:GetResultListFiltered", *given, ua.Variant(0, ua.VariantType.Int32))


def page_client(port: int) -> None:
    """What a browser asks for that shows the Line page and the Trace page, until it is killed."""

    def connect() -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    login = connect()
    words = json.dumps({"user": USER, "password": PASSWORD})
    login.request("POST", "/api/v1/login", words, {"Origin": f"http://127.0.0.1:{port}"})
    answer = login.getresponse()
    assert answer.status == 200, answer.read()
    cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}

    def follow(path: str) -> None:
        connection = connect()
        connection.request("GET", path, headers=cookie)
        stream = connection.getresponse()
        assert stream.status == 200, path
        while stream.read1(65536):
            pass
        os._exit(1)  # the stream has ended: the measure finds a client that ended

    def pictures() -> None:
        connection, number = connect(), "0"
        while True:
            connection.request("GET", f"/api/v1/frame.jpg?after={number}", headers=cookie)
            picture = connection.getresponse()
            picture.read()
            number = picture.headers.get("x-regad-number", number)

    for path in ("/api/v1/events", "/api/v1/live.mjpeg"):
        threading.Thread(target=follow, args=(path,), daemon=True).start()
    threading.Thread(target=pictures, daemon=True).start()
    parts = connect()
    while True:
        parts.request("GET", "/api/v1/parts", headers=cookie)
        parts.getresponse().read()
        time.sleep(1.0)


def measure(place: Place, count: int, who: list[str]) -> bool:
    broker, opcua, page = free_port(), free_port(), free_port()
    set_password(place.folder / "users.json", USER, PASSWORD, "viewer")
    path = place.folder / "station.toml"
    path.write_text(
        TABLES.format(
            folder=place.folder,
            category=place.category,
            zeros="0" * 64,
            page=page,
            broker=broker,
            opcua=opcua,
            nodeset=NODESET,
        )
    )
    (place.folder / "mosquitto.conf").write_text(f"listener {broker} 127.0.0.1\nallow_anonymous true\n")
    with ExitStack() as stack:
        children = []

        def run(*words: str) -> int:
            child = stack.enter_context(subprocess.Popen(words, stdout=subprocess.DEVNULL))
            children.append(child)
            stack.callback(child.kill)
            return child.pid

        beside = [run("mosquitto", "-c", str(place.folder / "mosquitto.conf"))]
        wait_for_port(broker)
        config = place.config("command", desk=DeskConfig(port=page))
        line = stack.enter_context(
            Line(config, source=lambda: DrawnCamera(place.scene), model=place.open_model, path=path)
        )
        line.start()
        wait_for_port(opcua)
        wait_for_port(page)
        assert isinstance(line.desk.child, subprocess.Popen)
        beside.append(line.desk.child.pid)
        listen = ("chrt", "--idle", "0", "mosquitto_sub", "-p", str(broker), "-q", "1", "-t", "#")
        ask = ("chrt", "--idle", "0", sys.executable, __file__, "--client", f"opc.tcp://127.0.0.1:{opcua}")
        look = ("chrt", "--idle", "0", sys.executable, __file__, "--page", str(page))
        spin = ("chrt", "--idle", "0", sys.executable, "-c", "while True: pass")
        clients = {"mqtt": [listen] * SUBSCRIBERS, "opcua": [ask] * CLIENTS, "page": [look], CONTROL: [spin]}
        beside += [run(*words) for name in who for words in clients[name]]
        timed(line, 20)
        time.sleep(10.0)  # the clients' imports
        quiet, busy = [], []
        for _ in range(count // TURN):  # in turns, so that the rest of the machine weighs on all alike
            for pid in beside:
                os.kill(pid, signal.SIGSTOP)
            quiet += timed(line, TURN)
            for pid in beside:
                os.kill(pid, signal.SIGCONT)
            timed(line, TURN)  # they catch up with what they missed
            busy += timed(line, TURN)
        ended = [child.args for child in children if child.poll() is not None]
        assert not ended, f"ended before its time: {ended}"
    print(said("alone", quiet))
    print(said(f"busy: {', '.join(who)}", busy))
    return bool(np.percentile(busy, 99) <= 1.1 * np.percentile(quiet, 99))


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--busy", nargs="+", choices=(*BUSY, CONTROL), default=BUSY)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--page", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    while given.client:
        with suppress(ConnectionError, TimeoutError):  # it was stopped for longer than its server waits: again
            asyncio.run(opcua_client(given.client))
    if given.page:
        page_client(given.page)
    prepare_process()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if measure(Place(Path(folder), given.model, False), given.count, given.busy) else 1


if __name__ == "__main__":
    sys.exit(main())
