"""``regad-run``: judge images, a video, a camera or a stream."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from ..backends.table import AUTO, passed_over
from ..detector import Detector
from ..errors import InputError
from ..formats.artifact import Artifact
from ..formats.places import find_model
from ..line.config import PictureConfig, RunConfig, Teaching
from ..line.counters import Counters
from ..line.jsonlines import JsonLines
from ..line.live_line import LiveLine
from ..line.loop import exit_status, run_line
from ..line.outbox import Outbox, Policy
from ..line.pictures import Pictures
from ..line.sink import Sink, Together
from ..line.speaker import Speaker
from ..line.stopping import StopSignals
from ..line.window import open_window
from ..sources.open import KINDS, Source, open_source
from .console import note, run_cli, tell
from .options import (
    device_option,
    model_option,
    precision_options,
    preprocessing_options,
    refuse_without_effect,
    register_option,
    spec_from_options,
    threads_option,
    threshold_options,
)
from .outputs import Input, check_distinct, check_file, check_folder, source_inputs
from .own_files import RECORD
from .teaching import put_in_force

__all__ = ["command", "main", "run"]

_TEACHING = ("shot", "seed", "target_frr", "warn_frr", "register", "fit", "resample", "roi", "cache")
_PICTURES = ("overlay_anomalies", "overlay_keep", "overlay_max_mb")

_EPILOG = f"""\b
A source is one of:
  {(chr(10) + "  ").join(kind.name for kind in KINDS)}

\b
Exit status:
  0  all frames were judged (under --fail-on-anomaly: and all are good)
  1  failure: a file, device, camera or disk cannot be used; also when all
     was judged and recorded, but pictures could not be written
  2  wrong usage
  3  something could not be judged: an unreadable image, a camera that
     stopped, a run over files that was interrupted, or no frame at all
  4  an anomaly was found, under --fail-on-anomaly; it outranks 3

JSON lines have the keys source, frame, time, score, threshold, anomalous, warn, reject, reason, thetas, ms
{{preprocess, encode, score, total}}, artifact, category, device, precision; or source, frame, time, reject, error.
reason is good, anomalous, misplaced or no_part; in the last two cases the score is null and detail says why. A
registered part has a pose too: {{angle, dx, dy, scale, quality}}. An existing file is continued. With
--json FILE or --overlay, a stdout that fails is reported once and the run continues.

Pictures never overwrite each other: the names of those of videos and cameras, and of those whose name is taken, have
the time at which the run started. A thread writes them; with a camera, pictures are left out and counted if there is
no time to write them.
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, epilog=_EPILOG)
@click.option("--camera", type=click.IntRange(0), help="Camera index, as in /dev/video<index>.")
@click.option("--source", "uri", help="Image, folder, glob, video, rtsp:// address, GStreamer pipeline.")
@click.option("--support", type=click.Path(path_type=Path), help="Folder of images of good parts; taught at the start.")
@click.option("--category", type=click.Path(path_type=Path), help="Category file that regad-calib wrote.")
@model_option
@device_option
@precision_options
@threads_option
@click.option("--shot", type=click.IntRange(1), help="Draw this many of the support images (default: all).")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draw.")
@threshold_options
@register_option
@preprocessing_options
@click.option(
    "--cache/--no-cache",
    default=True,
    help="Reuse the stored result if the same photos were taught before.  [default: cache]",
)
@click.option("--json", help="File for JSON lines, or - for stdout, which then has nothing else.")
@click.option("--overlay", type=click.Path(path_type=Path), help="Folder for pictures with the heat map.")
@click.option("--overlay-anomalies", is_flag=True, help="Write pictures of anomalous frames only.")
@click.option("--overlay-keep", type=click.IntRange(1), metavar="N", help="Keep the newest N pictures in the folder.")
@click.option(
    "--overlay-max-mb",
    type=click.FloatRange(0, min_open=True),
    metavar="MB",
    help="Keep them within MB megabytes.",
)
@click.option("--display/--no-display", default=None, help="Show a window.  [default: if there is a display]")
@click.option("--limit", type=click.IntRange(1), help="Stop after this many frames.")
@click.option("--fail-on-anomaly", is_flag=True, help="End with status 4 if an anomaly was found.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Judge every frame of a source: verdict, score, heat map, record.

    The part is taught at the start from --support, or --category names the file that regad-calib wrote.
    """
    return run(_config(ctx, **options))


def main() -> None:
    """Entry point of ``regad-run``."""
    run_cli(command)


def run(config: RunConfig) -> int:
    """Do one run, and return its exit status. Raises RegadError; what was judged until then is recorded."""
    _check_outputs(config)
    with StopSignals() as signals, ExitStack() as stack:
        source = stack.enter_context(open_source(config.source))
        counters = Counters()
        line = LiveLine(counters, total=_expected(source, config.limit), live=source.live)
        record, pictures = _record(config), _pictures(config, source, line)
        speaker = Speaker(
            line,
            still=source.still,
            silent=config.json == "-",
            recorded=record is not None or pictures is not None,
        )
        sinks = [record, speaker, pictures, open_window(config.display)]
        # What cannot be written is reported here, before the slow start.
        sink = stack.enter_context(Together([one for one in sinks if one is not None]))
        detector = stack.enter_context(_load(config))
        category = put_in_force(detector, config.part, config.threshold, config.warn_threshold)
        if record is not None:
            backend = detector.backend
            record.name(detector.artifact.hash[:16], category.hash, backend.device, backend.precision)
        tell(f"source     {source.uri}{f' ({source.total} frames)' if source.total else ''}")
        for text in source.notes:
            note(text)
        counters.start()
        with signals.run() as stop:
            complete = run_line(source, detector.predict, sink, counters, stop=stop, limit=config.limit)
            sink.close()  # pictures that wait are still written
        line.say(counters.summary(source.dropped, "" if pictures is None else pictures.losses()))
    lost = pictures is not None and pictures.failed > 0
    return exit_status(counters, complete=complete, lost=lost, fail_on_anomaly=config.fail_on_anomaly)


def _config(ctx: click.Context, **given: Any) -> RunConfig:
    """The command line as a configuration. Raises UsageError for options that do not go together."""
    if (given["camera"] is None) == (given["uri"] is None):
        raise click.UsageError("give exactly one of --camera N and --source URI", ctx)
    if (given["support"] is None) == (given["category"] is None):
        raise click.UsageError("give exactly one of --support DIR and --category FILE", ctx)
    if given["category"] is not None:
        refuse_without_effect(_TEACHING, "with --category, whose file says how the part was taught")
    if given["overlay"] is None:
        refuse_without_effect(_PICTURES, "without --overlay")
    if given["shot"] is None:
        refuse_without_effect(["seed"], "without --shot")
    if given["threshold"] is not None:
        refuse_without_effect(["target_frr"], "with --threshold")
    if given["warn_threshold"] is not None:
        refuse_without_effect(["warn_frr"], "with --warn-threshold")
    model = find_model(given["model"])
    try:
        return RunConfig(
            source=given["uri"] if given["camera"] is None else f"camera:{given['camera']}",
            part=given["category"] or Teaching(given["support"], **{name: given[name] for name in _TEACHING}),
            model=model,
            pictures=None
            if given["overlay"] is None
            else PictureConfig(given["overlay"], *(given[name] for name in _PICTURES)),
            **{
                name: given[name]
                for name in (
                    "device",
                    "threads",
                    "precision",
                    "force",
                    "threshold",
                    "warn_threshold",
                    "json",
                    "display",
                    "limit",
                    "fail_on_anomaly",
                )
            },
        )
    except InputError as error:
        raise click.UsageError(str(error), ctx) from error


def _check_outputs(config: RunConfig) -> None:
    part = config.part
    given = [
        Input("--model", config.model, sealed=True),
        Input("--category", part) if isinstance(part, Path) else Input("--support", part.support),
        *source_inputs(config.source),
    ]
    record = Path(config.json) if config.json is not None and config.json != "-" else None
    if record is not None:
        check_file("--json", record, RECORD, given)
    if config.pictures is not None:
        check_folder("--overlay", config.pictures.folder, given)
        check_distinct({"--json": record, "--overlay": config.pictures.folder})


def _expected(source: Source, limit: int | None) -> int | None:
    return min(source.total, limit) if source.total and limit else source.total or limit


def _record(config: RunConfig) -> JsonLines | None:
    return JsonLines(config.json) if config.json is not None else None


def _pictures(config: RunConfig, source: Source, line: LiveLine) -> Outbox | None:
    """The pictures, in a thread. Files are waited for, so that none lacks its picture; a line is not held up."""
    wanted = config.pictures
    if wanted is None:
        return None

    def say(text: str) -> None:
        line.say(f"note: {text}")

    sink: Sink = Pictures(
        wanted.folder,
        only_anomalous=wanted.only_anomalous,
        still=source.still,
        keep=wanted.keep,
        max_bytes=wanted.max_bytes,
        say=say,
    )
    policy: Policy = "drop" if source.live else "block"
    return Outbox(sink, what="picture", policy=policy, say=say)


def _load(config: RunConfig) -> Detector:
    spec, part = None, config.part
    if isinstance(part, Teaching) and (part.fit or part.resample or part.roi):
        base = Artifact.open(config.model, verify=False).spec
        spec = spec_from_options(base, part.fit, part.resample, part.roi)
    detector = Detector.load(
        config.model,
        device=config.device,
        threads=config.threads,
        spec=spec,
        precision=config.precision,
        force=config.force,
    )
    tell(f"artifact   {config.model} ({detector.artifact.dtype}, {detector.artifact.hash[:16]})")
    others = passed_over() if config.device == AUTO else []
    tell(f"device     {detector.device}")
    if others:
        tell(f"           auto passed over {', '.join(others)}: regad-bench --pick measures what they gain")
    return detector
