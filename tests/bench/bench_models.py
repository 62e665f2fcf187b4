"""The models that are timed: ours of fresh weights, and anomalib's of the same images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

from regad.runtime.commands.bench_rows import drawn_image

HERE = Path(__file__).parent


def make_int8(folder: Path) -> Path:
    """An int8 artifact of fresh weights, with uint8 activations, its ranges set from drawn images."""
    photos = folder / "photos"
    photos.mkdir()
    for seed in range(4):
        Image.fromarray(drawn_image(256, 256, seed)).save(photos / f"{seed}.png")
    return make_model(folder, "gather", "--int8", "--activations", "uint8", "--calib-images", str(photos))


def make_model(folder: Path, sampler: str = "gather", *options: str, registers: bool = False) -> Path:
    """An artifact of fresh weights, which times do not depend on; ``registers``: with transforms that are predicted."""
    import torch

    from regad.export.cli import command as export
    from regad.runtime.formats.spec import InputSpec
    from regad.train.model.checkpoint import Checkpoint, save_checkpoint
    from regad.train.model.heads import Predictor, SiameseEncoder
    from regad.train.model.registration import RegistrationEncoder

    torch.manual_seed(0)
    encoder = RegistrationEncoder()
    if registers:
        for stn in (encoder.stn1, encoder.stn2, encoder.stn3):
            torch.nn.init.normal_(stn.fc[-1].weight, std=0.01)
    states = (encoder.state_dict(), SiameseEncoder().state_dict(), Predictor().state_dict())
    save_checkpoint(folder / "model.pt", Checkpoint(*states, "rotation_scale", InputSpec()))
    out = folder / f"{''.join([sampler, *options[:1]])}{'-registers' if registers else ''}.regad"
    words = ["--ckpt", str(folder / "model.pt"), "--out", str(out), "--sampler", sampler, *options]
    export.main(words, standalone_mode=False)
    return out


def export_rivals(python: Path, folder: Path) -> Path:
    """Anomalib's models fitted to the four images that ours is taught with, exported to OpenVINO."""
    support, out = folder / "support", folder / "exports"
    support.mkdir()
    for seed in range(4):
        Image.fromarray(drawn_image(256, 256, seed)).save(support / f"{seed}.png")
    command = [str(python), str(HERE / "rival_prepare.py"), "--support", str(support), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(
            f"error: anomalib's models cannot be exported: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
        )
    return out
