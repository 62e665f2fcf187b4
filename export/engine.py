"""From an artifact's graphs to TensorRT engines, with proof of what they compute in. Needs neither PyTorch nor onnx."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from regad.runtime.backends.tensorrt.cuda import Cuda
from regad.runtime.backends.tensorrt.engines import (
    ANY_GPU,
    FOLDER,
    EngineKey,
    EngineRecord,
    Gpu,
    look_up,
    read_plan,
    read_record,
    write_engine,
)
from regad.runtime.backends.tensorrt.library import Library, load_tensorrt, logger
from regad.runtime.errors import DeviceError, InputError, RegadError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.formats.encodings import Encoding, forms_of
from regad.runtime.text import Say, unsaid

from .counts import Counts, describe, encoder_counts, require_counts, scorer_counts
from .network import Parsed, count_network, inspect, parse

__all__ = ["EngineConfig", "Hardware", "build_engines"]

Hardware = Literal["this", "ampere-plus"]
_VIEWS = 22
_USUAL_SHOT = 4
_LEAST_RANK = 2  # that of the golden self-test


@dataclass(frozen=True)
class EngineConfig:
    """How engines are built.

    ``batch``: least, usual and largest number of images in a pass; ``max_shot``: the most support images that the
    statistics may come from; ``workspace``: MiB of scratch memory (default: all there is); ``hardware`` and
    ``portable``: see `EngineKey`; ``compute_capability``: build for another GPU than this machine's, like "8.6",
    which only tensorrt_rtx can; ``module``: which TensorRT. Raises InputError at construction for values out of range.
    """

    batch: tuple[int, int, int] = (1, 1, 4)
    max_shot: int = 8
    encodings: tuple[Encoding, ...] = get_args(Encoding)
    workspace: int | None = None
    hardware: Hardware = "this"
    portable: bool = False
    compute_capability: str | None = None
    module: str | None = None

    def __post_init__(self) -> None:
        least, usual, most = self.batch
        if not 1 <= least <= usual <= most:
            raise InputError(f"batch is {least}, {usual}, {most}; expected 1 <= min <= opt <= max")
        if self.max_shot < 2:
            raise InputError(f"--max-shot is {self.max_shot}; expected 2 or more")
        if self.workspace is not None and self.workspace < 1:
            raise InputError(f"--workspace is {self.workspace}; expected 1 MiB or more")
        if self.hardware not in get_args(Hardware):
            raise InputError(f"--hardware is {self.hardware!r}; expected one of {', '.join(get_args(Hardware))}")

    def sizes(self, name: str, axis: int) -> tuple[int, int, int]:
        """Least, usual and largest size of a dynamic dimension: axis 0 is the batch, the others are the rank."""
        if axis == 0:
            return self.batch
        most = _VIEWS * self.max_shot - 1
        return _LEAST_RANK, min(_VIEWS * _USUAL_SHOT - 1, most), most


def build_engines(
    artifact: Artifact, config: EngineConfig, progress: Say = unsaid, report: Say = unsaid
) -> list[EngineRecord]:
    """Build the engines of an artifact's encoder and scorers that are not there yet, and return the records of all.

    ``progress`` receives what is built and why, ``report`` what it computes in. Raises DeviceError without TensorRT,
    or without a GPU unless the target is named; RegadError if a graph cannot be built, or not in its dtype: the engine
    is then not written.
    """
    library = load_tensorrt(config.module)
    gpu = _target(config, library)
    whole = artifact.registers
    wanted = encoder_counts(artifact.dtype, str(artifact.manifest["sampler"]), whole)
    graphs: dict[str, Counts] = {artifact.encoder_path.name: wanted}
    forms = [form for form in forms_of(artifact.scoring.groups) if set(form.encodings) <= set(config.encodings)]
    graphs |= {artifact.scorer_path(form).name: scorer_counts(form) for form in forms}
    records = []
    for graph, counts in graphs.items():
        key = _key(artifact, graph, config, gpu, library)
        record = _present(artifact, graph, key, gpu, config, library, progress)
        if record is None:
            record = _build(artifact, graph, key, counts, config, library, report)
        records.append(record)
    return records


def _target(config: EngineConfig, library: Library) -> Gpu:
    if config.compute_capability is not None:
        if not library.flavor.cross_build:
            raise DeviceError(
                f"{library} builds for the GPU of this machine only; leave out --compute-capability, "
                "or use tensorrt_rtx (pip install tensorrt-rtx-cu13)"
            )
        _capability(library, config.compute_capability)
        return Gpu(ANY_GPU, config.compute_capability)
    try:
        gpu = Cuda().gpu()
    except DeviceError as error:
        raise DeviceError(
            f"{error}. Engines are built on the target; with tensorrt_rtx also elsewhere, with --compute-capability 8.6"
        ) from error
    offered = _offered(library) if library.flavor.cross_build else []
    older_than_some = any(_number(gpu.compute_capability) < _number(other) for other in offered)
    if older_than_some and gpu.compute_capability not in offered:  # like 9.0: it builds, and refuses to run
        raise DeviceError(
            f"{library} does not run on {gpu.name} ({gpu.compute_capability}), only on {', '.join(offered)} and newer; "
            "use tensorrt (pip install tensorrt), or --device cuda without an engine"
        )
    return gpu


def _number(capability: str) -> tuple[int, ...]:
    return tuple(int(part) for part in capability.split("."))


def _offered(library: Library) -> list[str]:
    """The compute capabilities that TensorRT names, like 8.6."""
    known = library.module.ComputeCapability.__members__
    return [f"{key[2:-1]}.{key[-1]}" for key in known if key.startswith("SM")]


def _capability(library: Library, text: str) -> Any:
    """TensorRT's name of a compute capability like 8.6."""
    known: Mapping[str, Any] = library.module.ComputeCapability.__members__
    name = f"SM{text.replace('.', '')}"
    if name not in known:
        raise InputError(f"--compute-capability is {text}; {library} builds for {', '.join(_offered(library))}")
    return known[name]


def _key(artifact: Artifact, graph: str, config: EngineConfig, gpu: Gpu, library: Library) -> EngineKey:
    return EngineKey(
        graph_sha256=str(artifact.manifest["files"][graph]["sha256"]),
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        library=library.name,
        version=library.version,
        hardware=config.hardware,
        portable=config.portable,
    )


def _present(
    artifact: Artifact,
    graph: str,
    key: EngineKey,
    gpu: Gpu,
    config: EngineConfig,
    library: Library,
    progress: Say,
) -> EngineRecord | None:
    """The engine that is there and sound, if there is one; says why it is built otherwise."""
    found = read_record(artifact.path / FOLDER / f"{key.stem(graph)}.json")
    reason = look_up(artifact, graph, gpu, library)[1] or "the one there has other options"
    record = found if isinstance(found, EngineRecord) else None
    if record is not None and (record.batch, record.max_shot) != (config.batch, config.max_shot):
        record = None
    if record is not None:
        try:
            read_plan(artifact, record)
        except DeviceError as error:
            record, reason = None, error.message
    progress(
        f"building the engine of {graph} for {gpu}: {reason}"
        if record is None
        else f"the engine of {graph} is up to date"
    )
    return record


def _build(
    artifact: Artifact,
    graph: str,
    key: EngineKey,
    wanted: Counts,
    config: EngineConfig,
    library: Library,
    report: Say,
) -> EngineRecord:
    """Parse, prove, build, prove again, write."""
    log = logger(library)
    parsed = parse(library, log, artifact.path / graph)
    counts = count_network(library, parsed.network)
    require_counts(counts, wanted, f"TensorRT's network of {graph}")
    plan, profile = _serialize(artifact, parsed, config, library, log)
    opened = inspect(library, log, plan, config.portable)
    if opened is not None:
        _require_dtypes(opened, wanted, graph)
    digest = hashlib.sha256(plan).hexdigest()
    record = EngineRecord(graph, key, digest, len(plan), config.batch, config.max_shot, profile, counts)

    path = write_engine(artifact, record, plan)
    report(f"engine    {path} ({len(plan) / 1e6:.1f} MB, {library})")
    report(f"  network {describe(counts)}")
    report(
        f"  engine  {describe(opened) if opened is not None else 'not opened: there is no GPU here that can run it'}"
    )
    return record


def _serialize(
    artifact: Artifact, parsed: Parsed, config: EngineConfig, library: Library, log: Any
) -> tuple[bytes, dict[str, tuple[tuple[int, ...], ...]]]:
    """Build the plan; returns it and the shapes of its optimisation profile."""
    trt, builder, network = library.module, parsed.builder, parsed.network
    options = builder.create_builder_config()
    options.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # TF32 would round the operands of what is float32 to 10 bits: distances would be off by a percent.
    options.clear_flag(trt.BuilderFlag.TF32)
    if config.workspace is not None:
        options.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, config.workspace << 20)
    if config.hardware == "ampere-plus":
        options.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if config.portable:
        options.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if config.compute_capability is not None:
        options.num_compute_capabilities = 1
        options.set_compute_capability(_capability(library, config.compute_capability), 0)
    profile = _profile(builder, network, options, config)
    cache = artifact.path / FOLDER / f"timing-{library.name}-{library.version}.cache"
    timing = None
    if library.flavor.timing_cache:
        timing = options.create_timing_cache(cache.read_bytes() if cache.is_file() else b"")
        options.set_timing_cache(timing, False)
    plan = builder.build_serialized_network(network, options)
    if plan is None:
        why = log.errors[-1] if log.errors else "no reason given"
        raise RegadError(
            f"{library} cannot build the engine of {network.name} ({why}); "
            "if memory is short, raise --workspace or lower --max-batch and --max-shot"
        )
    if timing is not None:
        atomic_write(cache, bytes(timing.serialize()))
    return bytes(plan), profile


def _profile(builder: Any, network: Any, options: Any, config: EngineConfig) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Add one optimisation profile that covers every dynamic input; returns its shapes."""
    profile = builder.create_optimization_profile()
    chosen: dict[str, tuple[tuple[int, ...], ...]] = {}
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        shape = tuple(tensor.shape)
        if -1 not in shape:
            continue
        sizes = [config.sizes(tensor.name, axis) if size == -1 else (size,) * 3 for axis, size in enumerate(shape)]
        chosen[tensor.name] = tuple(zip(*sizes, strict=True))
        profile.set_shape(tensor.name, *chosen[tensor.name])
    options.add_optimization_profile(profile)
    return chosen


def _require_dtypes(found: Counts, wanted: Counts, graph: str) -> None:
    """Raise RegadError if an opened engine's convolutions are of other dtypes than wanted.

    Their number may change, layers are fused; where no convolution can be told apart in the fused kernels, the network,
    which is strongly typed, is the proof.
    """
    seen = set(found.get("convolutions", {})) - {"unknown"}
    expected = set(wanted.get("convolutions", {}))
    if seen and seen != expected:
        raise RegadError(
            f"the engine of {graph} is not of the dtype asked for: its convolutions are {', '.join(sorted(seen))}; "
            f"expected {', '.join(sorted(expected))}; it was not written"
        )
