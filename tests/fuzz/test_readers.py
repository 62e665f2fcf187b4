"""Some hundred damaged files through every reader; ``python tests/fuzz/readers.py`` tries 20,000 on each."""

from __future__ import annotations

import pytest

from .readers import READERS, Reader, run


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_damaged_file_ends_in_a_result_or_a_refusal(reader: Reader) -> None:
    counts = run(reader, 300 if reader.name != "videos" else 60, seed=1)
    assert not counts.failures, counts.failures[0]
    assert counts.results > 20
