"""``python -m regad.train.cli``, which is what torchrun starts; see `regad.train.run.command`."""

from __future__ import annotations

from .run.command import command, main

__all__ = ["command", "main"]

if __name__ == "__main__":
    main()
