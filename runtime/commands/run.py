"""``regad-run``: judge images, a video, a camera or a stream."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource

from ..backends.table import Device
from ..detector import Detector
from ..errors import OutputError
from ..formats.category import Category
from ..formats.places import MODEL_VARIABLE, cache_folder, find_model
from ..line.counters import Progress
from ..line.jsonlines import JsonLines, LineFile
from ..line.loop import StopSignals, exit_status, inspect
from ..line.pictures import Overlays, Sink, open_window
from ..line.verdict import Verdict
from ..sources.open import KINDS, Source, open_camera, open_source
from .console import run_cli
from .options import preprocessing_options, spec_from_options

__all__ = ["command", "main"]

_TEACHING = ("shot", "seed", "target_frr", "fit", "resample", "roi", "cache")

_EPILOG = f"""\b
A source is one of:
  {(chr(10) + "  ").join(kind.name for kind in KINDS)}

\b
Exit status:
  0  all frames were judged (under --fail-on-anomaly: and all are good)
  1  failure: a file, device, camera or disk cannot be used
  2  wrong usage
  3  something could not be judged: an unreadable image, a camera that
     stopped, a run over files that was interrupted, or no frame at all
  4  an anomaly was found, under --fail-on-anomaly; it outranks 3

JSON lines have the keys source, frame, time, score, threshold, anomalous, thetas, ms {{preprocess, encode, score,
total}}, artifact, category; or source, frame, time, error. An existing file is continued.
"""


@dataclass(frozen=True)
class Outputs:
    """Where the verdicts of a run go."""

    json: str | None
    overlay: Path | None
    only_anomalous: bool
    display: bool | None


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, epilog=_EPILOG)
@click.option("--camera", type=click.IntRange(0), help="Camera index, as in /dev/video<index>.")
@click.option("--source", "uri", help="Image, folder, glob, video, rtsp:// address, GStreamer pipeline.")
@click.option("--support", type=click.Path(path_type=Path), help="Folder of k images of good parts; taught at start.")
@click.option("--category", type=click.Path(path_type=Path), help="Category file that regad-calib wrote.")
@click.option("--model", type=click.Path(path_type=Path), help=f"Artifact (else ${MODEL_VARIABLE}, ./model.regad).")
@click.option("--device", type=click.Choice(get_args(Device)), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="CPU threads of one inference.")
@click.option("--shot", type=click.IntRange(1), help="Draw this many of the support images (default: all).")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draw.")
@click.option(
    "--target-frr",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="False-reject rate the threshold aims at.",
)
@click.option("--threshold", type=click.FloatRange(0, min_open=True), help="Set the threshold by hand.")
@preprocessing_options
@click.option("--cache/--no-cache", default=True, help="Reuse what the same photos taught before.  [default: cache]")
@click.option("--json", help="File for JSON lines, or - for stdout, which then holds nothing else.")
@click.option("--overlay", type=click.Path(path_type=Path), help="Folder for pictures with the heat map.")
@click.option("--overlay-anomalies", is_flag=True, help="Write pictures of anomalous frames only.")
@click.option("--display/--no-display", default=None, help="Show a window.  [default: if there is a display]")
@click.option("--limit", type=click.IntRange(1), help="Stop after this many frames.")
@click.option("--fail-on-anomaly", is_flag=True, help="End with status 4 if an anomaly was found.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Judge every frame of a source against k good images of the part: verdict, score, heat map, record."""
    _check_usage(ctx, options)
    model = find_model(options["model"])
    outputs = Outputs(options["json"], options["overlay"], options["overlay_anomalies"], options["display"])
    _check_overlay_folder(options["uri"], outputs.overlay)
    with StopSignals() as stop, ExitStack() as stack:
        source = stack.enter_context(_open(options["camera"], options["uri"]))
        log, sinks = _outputs(outputs, stack)
        detector = stack.enter_context(_load(model, options))
        category = _category(detector, options)
        _tell(f"threshold  {category.threshold.value:.4g} ({category.threshold.note})")
        _tell(f"source     {source.uri}{f' ({source.total} frames)' if source.total else ''}")
        for note in source.notes:
            _note(note)
        if log is not None:
            sinks.insert(0, JsonLines(log, detector.artifact.hash[:16], category.hash))
        progress = Progress(total=_expected(source, options["limit"]), live=source.live)
        stack.callback(progress.clear)
        sinks.append(_Speaker(progress, still=source.still, silent=outputs.json == "-"))
        complete = inspect(source, detector.predict, sinks, progress, stop=stop, limit=options["limit"])
        progress.say(progress.summary(source.dropped))
    return exit_status(progress, complete=complete, fail_on_anomaly=options["fail_on_anomaly"])


def main() -> None:
    """Entry point of ``regad-run``."""
    run_cli(command)


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _check_usage(ctx: click.Context, options: dict[str, Any]) -> None:
    if (options["camera"] is None) == (options["uri"] is None):
        raise click.UsageError("give exactly one of --camera N and --source URI", ctx)
    if (options["support"] is None) == (options["category"] is None):
        raise click.UsageError("give exactly one of --support DIR and --category FILE", ctx)
    if options["category"] is not None:
        for name in _TEACHING:
            if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
                flag = name.replace("_", "-")
                raise click.UsageError(f"--{flag} is for teaching with --support; the category file has its own", ctx)
    if options["overlay_anomalies"] and options["overlay"] is None:
        raise click.UsageError("--overlay-anomalies needs --overlay DIR", ctx)


def _check_overlay_folder(uri: str | None, overlay: Path | None) -> None:
    """Overlays inside the folder that is judged would be judged by the next run."""
    if uri is None or overlay is None or not Path(uri).is_dir():
        return
    if overlay.resolve().is_relative_to(Path(uri).resolve()):
        raise OutputError(f"--overlay {overlay} lies inside --source {uri}, whose images are judged; put it elsewhere")


def _open(camera: int | None, uri: str | None) -> Source:
    return open_camera(camera) if camera is not None else open_source(str(uri))


def _expected(source: Source, limit: int | None) -> int | None:
    return min(source.total, limit) if source.total and limit else source.total or limit


def _load(model: Path, options: dict[str, Any]) -> Detector:
    spec = None
    if any(options[name] is not None for name in ("fit", "resample", "roi")):
        from ..formats.artifact import Artifact

        base = Artifact.open(model, verify=False).spec
        spec = spec_from_options(base, options["fit"], options["resample"], options["roi"])
    detector = Detector.load(model, device=options["device"], threads=options["threads"], spec=spec)
    _tell(f"artifact   {model} ({detector.artifact.dtype}, {detector.artifact.hash[:16]})")
    _tell(f"device     {detector.device}")
    return detector


def _category(detector: Detector, options: dict[str, Any]) -> Category:
    """Put the part in force: from its file, from the cache, or taught now."""
    if options["category"] is not None:
        detector.load_category(options["category"])
        how = f"from {options['category']}"
    else:
        how = _teach(detector, options)
    if options["threshold"] is not None:
        detector.set_threshold(options["threshold"])
    category = _in_force(detector)
    _tell(f"category   k = {category.shot} good images, {category.hash}, {how}")
    return category


def _in_force(detector: Detector) -> Category:
    category = detector.category
    assert category is not None
    return category


def _teach(detector: Detector, options: dict[str, Any]) -> str:
    """Teach the part from its photos, or recall what they taught before; returns how it went, for people."""
    from regad.calib import teach as teaching  # the runtime itself stands without the teaching code
    from regad.calib.support import draw_support, list_images

    from . import cache

    folder, by_hand = options["support"], options["threshold"]
    photos = draw_support(list_images(folder), options["shot"], options["seed"])
    code = Path(teaching.__file__).parent.glob("*.py")
    key = cache.cache_key(detector, photos, code, target_frr=options["target_frr"], by_hand=by_hand is not None)
    if options["cache"] and cache.recall(detector, key, _note):
        return f"from the cache ({cache_folder()})"
    start = time.monotonic()
    teaching.teach_folder(
        detector,
        folder,
        shot=options["shot"],
        seed=options["seed"],
        target_frr=options["target_frr"],
        threshold=by_hand,
        progress=_teaching_progress if sys.stderr.isatty() else None,
        say=_note,
    )
    spent = time.monotonic() - start
    if options["cache"]:
        cache.remember(detector, key, _note)
    return f"taught from {folder} in {spent:.1f} s"


def _note(text: str) -> None:
    _tell(f"note: {text}")


def _teaching_progress(done: int, count: int) -> None:
    click.echo(f"\rteaching   image {done}/{count}", nl=done == count, err=True)


def _outputs(outputs: Outputs, stack: ExitStack) -> tuple[LineFile | None, list[Sink]]:
    """Open everything that is written to, before the slow start: what cannot be had is told at once."""
    sinks: list[Sink] = []
    if outputs.overlay is not None:
        sinks.append(Overlays(outputs.overlay, only_anomalous=outputs.only_anomalous))
    if (window := open_window(outputs.display)) is not None:
        stack.callback(window.close)
        sinks.append(window)
    log = LineFile(outputs.json) if outputs.json is not None else None
    if log is not None:
        stack.callback(log.close)
    return log, sinks


class _Speaker:
    """Tells people the verdicts: each for single images, each change for videos and cameras; every error on stderr."""

    def __init__(self, progress: Progress, *, still: bool, silent: bool) -> None:
        self._progress = progress
        self._still = still
        self._out = None if silent else LineFile("-")
        self._last = ""
        self._noted: set[str] = set()

    def write(self, verdict: Verdict) -> bool:
        """Say the line; always True (go on)."""
        result, frame, word = verdict.result, verdict.frame, verdict.word
        where = frame.source if self._still else f"{frame.source} frame {frame.index}"
        for note in set(frame.notes) - self._noted:
            self._noted.add(note)
            self._progress.say(f"note: {where}: {note}")
        if result is None:
            error = str(verdict.error)
            self._progress.say(f"not judged: {error if frame.source in error else f'{where}: {error}'}")
        elif self._out is not None and (self._still or word != self._last):
            self._progress.clear()
            self._out.write(f"{word:<8} {result.score:9.3f}  {where}")
        self._last = word
        return True

    def close(self) -> None:
        """Nothing to do."""
