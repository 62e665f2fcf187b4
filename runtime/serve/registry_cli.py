"""``regad-push`` and ``regad-pull``: artifacts and categories to and from a registry, a web server or a folder."""

from __future__ import annotations

from pathlib import Path

import click

from ..commands.console import note, run_cli, tell
from ..commands.options import refuse_without_effect
from ..commands.outputs import Input, check_file, check_folder
from ..commands.own_files import ARTIFACT, CATEGORY
from ..errors import InputError, OutputError
from ..formats.artifact import Artifact
from ..formats.category import load_category
from ..formats.places import MODEL_VARIABLE, find_model
from ..text import shown
from .offer import Offer, require_artifact
from .plain import offer_of_path, offer_of_url
from .pull import pull
from .reference import Image, Reference, Web, parse_reference
from .registry import Registry

__all__ = ["main_pull", "main_push", "pull_command", "push_command"]

_PATH = click.Path(path_type=Path)
_NETWORK = ("plain_http", "follow")
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
_REF = """\b
REF is one of:
  HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]   a registry (oci:// may precede it)
  https://HOST/model.regad                 an artifact's folder on a web server
  https://HOST/part.safetensors            a category file on a web server
  file:///DIR/model.regad, ./model.regad   a folder or file

\b
Credentials come from docker's configuration (docker login), or from $ORAS_USER and $ORAS_PASS."""

_plain_http = click.option(
    "--plain-http", is_flag=True, help="Use HTTP without TLS. A loopback address does not need this option."
)
_follow = click.option("--follow", metavar="HOST", multiple=True, help="Follow redirects to this host too.")


@click.command(context_settings=_SETTINGS, epilog=_REF)
@click.argument("path", type=_PATH)
@click.argument("ref")
@_plain_http
@_follow
def push_command(path: Path, ref: str, plain_http: bool, follow: tuple[str, ...]) -> None:
    """Push PATH, an artifact's folder or a category file, to REF. It is checked first."""
    target = parse_reference(ref)
    if not isinstance(target, Image):
        refuse_without_effect(_NETWORK, "without a registry")
    offer = offer_of_path(path)
    if offer.kind == "artifact":
        Artifact.open(path)
    else:
        load_category(path)
    tell(f"{offer.kind:9} {shown(path)}, artifact {offer.artifact[:16]}")
    if isinstance(target, Web):
        raise OutputError(f"{target} is a web server, which takes no push; copy the files to it, or push to a registry")
    if isinstance(target, Image):
        if target.digest is not None:
            raise InputError(f"{target} names a digest, which a push cannot choose; name a tag")
        with Registry(target, plain_http=plain_http, follow=follow) as registry:
            digest = registry.push(offer, path)
        click.echo(f"pushed    {target.registry}/{target.name}@{digest} as {target.tag}")
        return
    _check_out("REF", offer, target.path, [Input("PATH", path, sealed=True)])
    pull(offer, target.path, max_bytes=1 << 62, say=tell)
    click.echo(f"pushed    {target}")


@click.command(context_settings=_SETTINGS, epilog=_REF)
@click.argument("ref")
@click.option("--out", type=_PATH, required=True, help="Artifact folder or category file to write.")
@click.option("--model", type=_PATH, help=f"A category's artifact (else ${MODEL_VARIABLE}, ./model.regad).")
@click.option(
    "--max-mb", type=click.FloatRange(0, min_open=True), default=4000.0, show_default=True, help="Most MB to read."
)
@_plain_http
@_follow
def pull_command(
    ref: str, out: Path, model: Path | None, max_mb: float, plain_http: bool, follow: tuple[str, ...]
) -> None:
    """Pull REF to --out, which is replaced only when everything is there and verified, and stays if it is the same.

    A category that was taught on another artifact than --model is refused before its bytes are read.
    """
    source = parse_reference(ref)
    if isinstance(source, Image):
        with Registry(source, plain_http=plain_http, follow=follow) as registry:
            _pull(source, registry.look(), out, model, max_mb)
    elif isinstance(source, Web):
        refuse_without_effect(["plain_http"], "with a web server")
        _pull(source, offer_of_url(source.url, follow), out, model, max_mb)
    else:
        refuse_without_effect(_NETWORK, "with a folder or file")
        _pull(source, offer_of_path(source.path), out, model, max_mb)


def _pull(source: Reference, offer: Offer, out: Path, model: Path | None, max_mb: float) -> None:
    given: list[Input] = []
    if offer.kind == "category":
        model = find_model(model)
        require_artifact(offer, model, Artifact.open(model, verify=False).hash)
        given = [Input("--model", model, sealed=True)]
    elif model is not None:
        raise InputError(f"{source} is an artifact, and --model is for a category; leave it out")
    _check_out("--out", offer, out, given)
    tell(f"{offer.kind:9} {offer.where}, artifact {offer.artifact[:16]}")
    if pull(offer, out, max_bytes=round(max_mb * 1e6), say=tell):
        click.echo(f"pulled    {shown(out)}")
    else:
        note(f"{shown(out)} is already up to date")


def _check_out(option: str, offer: Offer, out: Path, given: list[Input]) -> None:
    if offer.kind == "artifact":
        check_folder(option, out, given, kind=ARTIFACT, replaced=True)
    else:
        check_file(option, out, CATEGORY, given)


def main_push() -> None:
    """Entry point of ``regad-push``."""
    run_cli(push_command)


def main_pull() -> None:
    """Entry point of ``regad-pull``."""
    run_cli(pull_command)
