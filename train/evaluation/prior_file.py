"""The file of priors that ``regad-eval --learn-prior`` writes and ``regad-export --prior`` reads."""

from __future__ import annotations

import json
from pathlib import Path

from regad.runtime.errors import InputError
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.formats.json_text import parse
from regad.runtime.formats.prior import Priors
from regad.runtime.formats.scoring import Scoring
from regad.runtime.text import reason_of, shown, system_reason

__all__ = ["PRIOR_FORMAT", "read_priors", "write_priors"]

PRIOR_FORMAT = "regad-prior"
_VERSION = 1


def write_priors(path: Path, priors: Priors, scoring: Scoring) -> None:
    """Write them for `regad-export --prior`, with the scoring whose scores they are of. Raises OutputError."""
    content = {"format": PRIOR_FORMAT, "version": _VERSION, "scoring": scoring.to_json(), **priors.to_json()}
    atomic_write(path, (json.dumps(content, indent=1) + "\n").encode())


def read_priors(path: Path, scoring: Scoring) -> Priors:
    """Read what `write_priors` wrote of scores by ``scoring``. Raises InputError, also for those of another scoring."""
    name, again = shown(path), "make one with: regad-eval --model ARTIFACT --data DIR --learn-prior FILE"
    try:
        content = parse(path.read_bytes())
        if (content["format"], content["version"]) != (PRIOR_FORMAT, _VERSION):
            raise InputError(f"it is {content['format']} {content['version']}, not {PRIOR_FORMAT} {_VERSION}")
        priors, learnt = Priors.from_json(content), Scoring.from_json(content["scoring"])
    except OSError as error:
        raise InputError(f"{name} cannot be read ({system_reason(error)}); {again}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name} is not a prior file ({reason_of(error)}); {again}") from error
    except InputError as error:
        raise InputError(f"{name} cannot be used ({reason_of(error)}); {again}") from error
    if learnt != scoring:
        raise InputError(f"{name} was learnt from scores of another kind than this export's --scoring; {again}")
    return priors
