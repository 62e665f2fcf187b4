"""The artifact folder: the only reader and writer of ``manifest.json`` and the files beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from ..errors import ArtifactError, CategoryError, InputError
from ..text import system_reason
from .atomic import atomic_folder, recover_folder
from .encodings import Form, Statistics, StatisticsDtype
from .features import Features
from .json_text import parse
from .normalization import PLAIN, FeatureNormalization
from .prior import Priors
from .requires import check_requires
from .scoring import Scoring
from .spec import EPSILON, Dtype, InputSpec

__all__ = ["ENCODER", "Artifact", "Golden", "artifact_hash", "is_artifact", "write_artifact", "write_golden"]

FORMAT = "regad-artifact"
VERSION = 2
GOLDEN_FORMAT = "regad-golden"
GOLDEN_VERSION = 2
MANIFEST = "manifest.json"
ENCODER = "encoder.onnx"
GOLDEN = "golden.safetensors"
_MAKE = "make one with: regad-export --ckpt model.pt --out model.regad"


class Golden(NamedTuple):
    """Inputs and expected outputs for a self-test on the target.

    ``images`` uint8 [B, 224, 224, 3]; ``features`` and ``anomaly_map`` [B, 224, 224], ``anomaly_score`` [B] as the
    training framework computed them; ``statistics`` a tiny gram encoding.
    """

    images: NDArray[np.uint8]
    features: Features
    statistics: Statistics
    anomaly_map: NDArray[np.float32]
    anomaly_score: NDArray[np.float32]


@dataclass(frozen=True)
class Artifact:
    """An opened artifact: its folder, its parsed manifest, and its identity ``hash`` (see `artifact_hash`)."""

    path: Path
    manifest: Mapping[str, Any]
    hash: str
    spec: InputSpec
    dtype: Dtype

    @classmethod
    def open(cls, path: str | Path, verify: bool = True) -> Artifact:
        """Open and check an artifact folder; with ``verify`` every file's sha256 too.

        Raises ArtifactError, with the remedy, for a path that is no artifact, another format version, a file that
        is missing, altered or cannot be read, or a manifest that describes another encoder.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        try:
            check_requires(manifest)
            _check_fixed(path, manifest)
            files: Mapping[str, Any] = manifest["files"]
            spec = InputSpec.from_json(manifest["input"])
            for name in (ENCODER, GOLDEN, *manifest["scorers"].values()):
                _check_file(path / name, files[name], verify)
            return cls(path, manifest, artifact_hash(manifest), spec, manifest["dtype"])
        except InputError as error:
            raise ArtifactError(f"{path / MANIFEST}: {error}; {_MAKE}") from error
        except OSError as error:
            where = error.filename or path
            raise ArtifactError(f"{where} cannot be read: {system_reason(error)}; allow reading it") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{path / MANIFEST} is incomplete or malformed ({error!r}); {_MAKE}") from error

    @property
    def statistics_dtype(self) -> StatisticsDtype:
        """What the scorer graphs take the statistics as."""
        dtype: StatisticsDtype = self.manifest.get("statistics_dtype", "fp32")
        return dtype

    @property
    def prior(self) -> Priors | None:
        """What other kinds of parts teach about good scores; None where nothing is known."""
        data = self.manifest.get("prior")
        return None if data is None else Priors.from_json(data)

    @property
    def registers(self) -> bool:
        """Whether the encoder predicts transforms; else they are the identity, and its graph has no STNs."""
        return bool(self.manifest.get("transforms") != "identity")

    @property
    def normalization(self) -> FeatureNormalization:
        """What the encoder does to the length of its features."""
        return FeatureNormalization.from_table(self.manifest["features"])

    @property
    def encoder_path(self) -> Path:
        """Path of ``encoder.onnx``."""
        return self.path / ENCODER

    @property
    def scoring(self) -> Scoring:
        """How parts that are taught on it are scored."""
        return Scoring.from_json(self.manifest["scoring"])

    def scorer_path(self, form: Form) -> Path:
        """Path of the scorer graph for statistics of that form. Raises ArtifactError if there is none."""
        name = self.manifest["scorers"].get(form.name)
        if name is None:
            raise ArtifactError(f"{self.path} has no scorer graph for {form.name} statistics; {_MAKE}")
        return self.path / str(name)

    def golden(self) -> Golden:
        """Read the golden inputs and outputs. Raises ArtifactError if they are damaged."""
        path = self.path / GOLDEN
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                metadata: dict[str, str] = file.metadata() or {}
                found = (metadata.get("format"), metadata.get("version"))
                if found != (GOLDEN_FORMAT, str(GOLDEN_VERSION)):
                    raise ArtifactError(
                        f"{path} is {found[0]} {found[1]}; expected {GOLDEN_FORMAT} {GOLDEN_VERSION}: "
                        "export the artifact again: regad-export"
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stats = {name.removeprefix("stats."): value for name, value in tensors.items() if name.startswith("stats.")}
            rank = stats["x1"].shape[1]
            return Golden(
                tensors["images"],
                Features(tensors["f1"], tensors["f2"], tensors["f3"], tensors["theta"]),
                Statistics("gram", rank, rank + 1, stats),
                tensors["anomaly_map"],
                tensors["anomaly_score"],
            )
        except (OSError, safetensors.SafetensorError, KeyError, IndexError, CategoryError) as error:
            raise ArtifactError(f"{path} is damaged ({error}); export the artifact again: regad-export") from error


def artifact_hash(manifest: Mapping[str, Any]) -> str:
    """Return the identity that ties a category to an artifact: sha256 over what its features depend on.

    That is the encoder's own sha256, the sizes of its features, epsilon, and the input's size and colour order, as
    canonical JSON. The features' normalisation is computed by the encoder, so it is in the encoder's bytes; no number
    is hashed whose text could differ between JSON writers. A category's own fit, roi and resample filter are kept with
    the category.
    """
    identity = {
        "encoder": manifest["files"][ENCODER]["sha256"],
        "features": PLAIN.table(),
        "epsilon": manifest["epsilon"],
        "size": manifest["input"]["size"],
        "color": manifest["input"]["color"],
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def is_artifact(path: str | Path) -> bool:
    """Whether a folder claims to be an artifact of any version."""
    try:
        return bool(_read_manifest(Path(path), any_version=True)["format"] == FORMAT)
    except ArtifactError:
        return False


def write_artifact(path: str | Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Artifact:
    """Write an artifact folder atomically and open it again.

    ``manifest`` holds every field but ``format``, ``version``, ``requires`` and ``files``, which are filled in here;
    ``scoring`` is RegAD's where it is left out. Raises ArtifactError if ``path`` exists and is something else than an
    artifact; OutputError if it cannot be written.
    """
    path = Path(path)
    if path.exists() and not is_artifact(path):
        raise ArtifactError(f"{path} exists and is not an artifact; it is not replaced: choose another --out")
    table = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}
    fixed = {"format": FORMAT, "version": VERSION, "requires": [], "files": table}
    whole = {"scoring": Scoring().to_json(), **manifest, **fixed}
    with atomic_folder(path) as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        (folder / MANIFEST).write_text(json.dumps(whole, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        Artifact.open(folder)
    return Artifact.open(path)


def write_golden(golden: Golden) -> bytes:
    """Serialise golden inputs and outputs as ``golden.safetensors``."""
    features = golden.features
    tensors: dict[str, NDArray[Any]] = {
        "images": golden.images,
        **{name: getattr(features, name) for name in Features._fields},
        **{f"stats.{name}": value for name, value in golden.statistics.tensors.items()},
        "anomaly_map": golden.anomaly_map,
        "anomaly_score": golden.anomaly_score,
    }
    metadata = {"format": GOLDEN_FORMAT, "version": str(GOLDEN_VERSION)}
    return safetensors.numpy.save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, metadata)


def _read_manifest(path: Path, any_version: bool = False) -> dict[str, Any]:
    file = path / MANIFEST
    recover_folder(path)
    try:
        if not file.is_file():
            raise ArtifactError(f"{path} is not an artifact folder (it has no {MANIFEST}); {_MAKE}")
        manifest = parse(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file} cannot be read as JSON ({system_reason(error)}); {_MAKE}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{file} is not the manifest of an artifact; {_MAKE}")
    if manifest.get("version") != VERSION and not any_version:
        raise ArtifactError(
            f"{path} has artifact version {manifest.get('version')}; this program reads version {VERSION}: "
            "export it again with regad-export of this version, or update regad"
        )
    return manifest


def _check_fixed(path: Path, manifest: Mapping[str, Any]) -> None:
    """What this version's runtime takes for granted about the encoder and the score."""
    Scoring.from_json(manifest["scoring"])
    FeatureNormalization.from_table(manifest["features"])
    if manifest.get("prior") is not None:
        Priors.from_json(manifest["prior"])
    if manifest["epsilon"] != EPSILON:
        raise ArtifactError(f"{path} describes another encoder than this version reads; export it again: regad-export")
    if manifest["dtype"] not in get_args(Dtype):
        raise ArtifactError(
            f"{path} has dtype {manifest['dtype']!r}; this version reads {', '.join(get_args(Dtype))}: "
            "export it again with regad-export of this version, or update regad"
        )
    if manifest.get("statistics_dtype", "fp32") not in get_args(StatisticsDtype):
        raise ArtifactError(f"{path} takes {manifest['statistics_dtype']!r} statistics; export it again: regad-export")


def _check_file(path: Path, entry: Mapping[str, Any], verify: bool) -> None:
    again = "copy the whole artifact folder again, or export it again: regad-export"
    if not path.is_file():
        raise ArtifactError(f"{path} is missing from the artifact; {again}")
    if path.stat().st_size != entry["bytes"]:
        raise ArtifactError(f"{path} has {path.stat().st_size} bytes; the manifest says {entry['bytes']}: {again}")
    if verify and hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
        raise ArtifactError(f"{path} was altered (its sha256 is not the manifest's); {again}")
