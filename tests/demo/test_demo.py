"""The demo: its drawn data, its report, and what it says when it is asked for data that is not there."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from regad.runtime import InputSpec, Result, Timings
from regad.runtime.commands.console import run_cli
from regad.runtime.imaging.registration import Located, Pose

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import page  # noqa: E402
import panels  # noqa: E402
import parts  # noqa: E402
import poster  # noqa: E402
import reasons  # noqa: E402
import scenes  # noqa: E402
import situations  # noqa: E402

DEFECTS = [(name, defect) for name, kind in parts.CATEGORIES.items() for defect in kind.defects]


@pytest.mark.parametrize("category", parts.CATEGORIES)
def test_drawing_repeats_and_varies(category: str) -> None:
    """The same arguments give the same pixels; another index, seed or split gives another picture."""
    first = parts.sample(category, None, 0)
    assert first.image.shape == (256, 256, 3)
    assert first.image.dtype == np.uint8
    assert not first.mask.any()
    assert np.array_equal(first.image, parts.sample(category, None, 0).image)
    for other in (
        parts.sample(category, None, 1),
        parts.sample(category, None, 0, seed=1),
        parts.sample(category, None, 0, train=True),
    ):
        assert np.abs(first.image.astype(int) - other.image).mean() > 1.0


@pytest.mark.parametrize(("category", "defect"), DEFECTS)
def test_mask_is_where_the_defect_changed_the_picture(category: str, defect: str) -> None:
    """Inside the mask the picture differs from its good twin; outside it does not."""
    for index in range(2):
        drawn = parts.sample(category, defect, index)
        change = np.abs(drawn.image.astype(int) - drawn.twin).max(-1)
        assert 20 <= drawn.mask.sum() <= 0.35 * drawn.mask.size
        assert (change[drawn.mask] > 6).mean() > 0.5
        assert change[~drawn.mask].mean() < 0.35
        assert (change[~drawn.mask] > 12).mean() < 0.003


def test_data_set_has_the_mvtec_layout(tmp_path: Path) -> None:
    """Training images everywhere, test images and masks where asked for, every file readable."""
    count = parts.write_dataset(tmp_path, ["nut"], parts.Counts(train=2, good=2, defective=1))
    defects = parts.CATEGORIES["nut"].defects
    assert count == 2 * len(parts.CATEGORIES) + 2 + len(defects)
    for name in parts.CATEGORIES:
        assert sorted(p.name for p in (tmp_path / name / "train" / "good").iterdir()) == ["000.png", "001.png"]
        assert (tmp_path / name / "test").exists() == (name == "nut")
    assert sorted(p.name for p in (tmp_path / "nut" / "test").iterdir()) == sorted(("good", *defects))
    for defect in defects:
        image = cv2.imread(str(tmp_path / "nut" / "test" / defect / "000.png"))
        mask = cv2.imread(str(tmp_path / "nut" / "ground_truth" / defect / "000_mask.png"), cv2.IMREAD_UNCHANGED)
        drawn = parts.sample("nut", defect, 0)
        assert np.array_equal(image[..., ::-1], drawn.image)
        assert np.array_equal(mask > 0, drawn.mask)
        assert set(np.unique(mask)) == {0, 255}


def inspected(defect: str, score: float, index: int = 0) -> page.Inspected:
    """A judged drawing with an anomaly map of that height, threshold 4."""
    drawn = parts.sample("gear", None if defect == "good" else defect, index)
    values = np.full((224, 224), 0.5, np.float32)
    values[100:120, 90:130] = score
    timings = Timings(2.0, 20.0 + index, 10.0, 32.0 + index)
    result = Result(score, 4.0, score > 4.0, values, np.zeros((3, 2, 3), np.float32), timings, InputSpec())
    return page.Inspected(f"{defect}/{index:03d}.png", defect, drawn.image, result, drawn.mask)


@pytest.fixture(scope="module")
def report() -> page.Report:
    """A report of six images: three of four defects caught, one of two good parts rejected."""
    items = [inspected(defect, 9.25, 1) for defect in ("dent", "rust", "scratch")]
    items += [inspected("dent", 3.5, 2), inspected("good", 2.0, 3), inspected("good", 4.75, 4)]
    return page.Report(
        category="my <part>",
        background="Trained on & others.",
        support=[("a.png", items[0].image), ("b.png", items[1].image)],
        held_out=(2.5, 3.0),
        threshold_note="set from 2 scores",
        items=items,
        image_auroc=0.875,
        pixel_auroc=None,
        device="cpu (test)",
        stages=[page.Stage("draw", 1.5), page.Stage("train", 10.0)],
        commands=["regad-run --source x"],
    )


def test_page_stands_alone(report: page.Report) -> None:
    """Nothing is fetched and no script runs; every picture is in the file."""
    text = page.render_page(report)
    assert not re.search(r"https?:|<script|<link|@import|url\(", text)
    sources = re.findall(r"src='([^']{0,24})", text)
    assert len(sources) == len(report.support) + 2 * len(report.items)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_page_shows_the_numbers(report: page.Report) -> None:
    """The run's numbers, names and commands are there, escaped; a measure that there is not is a dash."""
    text = page.render_page(report)
    assert report.counts() == (3, 4, 1, 2)
    for shown in ("0.875", "–", "3/4", "1/2", "threshold 4.00", "my &lt;part&gt;", "&amp; others", "regad-run"):
        assert shown in text
    tags = re.findall(r"class='tag (?:ok|no)'>([^<]+)", text)
    assert sorted(tags) == ["caught"] * 3 + ["false alarm", "missed", "passed"]
    assert text.count("<circle") == len(report.items) + len(report.held_out)


def test_page_is_well_formed(report: page.Report) -> None:
    """Every opened element is closed."""
    text = page.render_page(report)
    for tag in ("div", "figure", "figcaption", "span", "svg", "table", "tr", "main", "section", "pre", "p"):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>"), tag


def test_cards_show_mistakes_first_and_every_kind(report: page.Report) -> None:
    """With more images than cards, mistakes come first and no kind of defect is crowded out."""
    many = [inspected("dent", 9.0)] * 30 + [inspected("rust", 8.0), inspected("good", 1.0), inspected("scratch", 1.0)]
    shown = page.chosen_items(many)
    assert len(shown) == page.CARDS
    assert shown[0].defect == "scratch"
    assert {item.defect for item in shown} == {"dent", "rust", "good", "scratch"}


def test_poster_is_a_picture_of_four(report: page.Report) -> None:
    """Four columns, photo above overlay."""
    image = cv2.imdecode(np.frombuffer(poster.compose(report.items), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] == poster.GAP + 4 * (poster.TILE + poster.GAP)


def changed(one: np.ndarray, other: np.ndarray) -> tuple[int, int, int, int]:
    """The box (x, y, width, height) of the pixels in which two photos differ clearly."""
    return tuple(cv2.boundingRect((np.abs(one.astype(int) - other).max(-1) > 60).astype(np.uint8)))


def test_a_defect_of_the_cluttered_nut_lies_in_its_region() -> None:
    """The same clutter comes with and without the defect, and the region holds what differs."""
    x, y, width, height = changed(scenes.cluttered("good", 1), scenes.cluttered("good", 1, "crack"))
    left, top, wide, high = scenes.NUT_REGION
    assert 0 < width < wide
    assert left <= x <= x + width <= left + wide
    assert top <= y <= y + height <= top + high


@pytest.mark.parametrize("surface", situations.SURFACES)
def test_a_spot_has_the_size_that_is_said_and_lies_in_its_quarter(surface: str) -> None:
    """A spot of 12 pixels of 224 is 27 of the 512 that are drawn, give or take its ragged edge."""
    bare, spot = scenes.spotted(surface, 0, 3), scenes.spotted(surface, 12, 3)
    x, y, width, height = changed(bare, spot)
    assert 0.55 * 27 < np.sqrt(width * height) < 1.3 * 27
    assert x >= scenes.SPOT_REGION[0]
    assert y + height <= scenes.SPOT_REGION[3]


@pytest.mark.parametrize("name", situations.SITUATIONS)
def test_every_situation_is_pictured_small_on_the_page(name: str) -> None:
    """Good parts and others are judged in each; its picture lies beside the page that shows it, below 60 kB."""
    for setup in situations.SITUATIONS[name]():
        assert {group.good for group in setup.groups} == {True, False}
    docs = HERE.parents[1] / "docs"
    assert (docs / "suitable" / f"{name}.jpg").stat().st_size < 60_000
    assert f"suitable/{name}.jpg" in (docs / "suitable.md").read_text(encoding="utf-8")


def test_a_situation_shows_the_middle_frame_of_each_group(report: page.Report) -> None:
    """Three dents, two of them found: the picture has a column for them and one for the photo taught."""
    dents = [inspected("dent", score, index) for index, score in enumerate((9.0, 2.0, 5.0))]
    group = panels.Judged("dent", False, [item.image for item in dents], [item.result for item in dents])
    assert (group.flagged, group.middle, group.told, group.right) == (2, 2, "2 of 3 found", True)
    made = panels.compose([panels.Outcome("a way", dents[0].image, [group])] * 2)
    picture = cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_COLOR)
    one = panels.HEAD + panels.TILE + panels.FOOT
    assert picture.shape == (2 * one + panels.GAP, 2 * (panels.TILE + panels.GAP) + panels.GAP, 3)


def test_the_page_explains_every_reason_and_shows_the_pose() -> None:
    """A registered part is shown with its pose, one without a score with the reason for it."""
    item = inspected("good", 2.0)
    located = Located(Pose(30.0, 4.0, -2.0, 1.0), 0.9, (224, 224), (112.0, 112.0))
    refused = dataclasses.replace(item.result, score=np.inf, refusal="misplaced", detail="match 0.1 & less")
    text = reasons.section(
        [
            reasons.Example("good", item.image, dataclasses.replace(item.result, located=located)),
            reasons.Example("out", item.image, refused),
        ]
    )
    assert all(f"<code>{reason}</code>" in text for reason in ("good", "anomalous", "misplaced", "no_part"))
    assert "turned by 30°, moved by 4, -2 pixels" in text
    assert "match 0.1 &amp; less" in text
    assert reasons.section([]) == ""
    assert "regad-station simulate --model 'my model'" in reasons.line_section(Path("my model")).replace("&#x27;", "'")


def refused(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """What the demo says that refuses these words: one line on stderr, nothing else."""
    import demo

    with pytest.raises(SystemExit) as ended:
        run_cli(demo.command, list(words))
    assert ended.value.code == 1
    said = capfd.readouterr()
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_missing_data_is_one_clear_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there, one that holds no category, an unknown category: one line, no output."""
    out = tmp_path / "out"
    assert "does not exist" in refused(capfd, "--data", str(tmp_path / "none"), "--out", str(out))
    (tmp_path / "nut" / "train" / "good").mkdir(parents=True)
    said = refused(capfd, "--data", str(tmp_path), "--category", "bolt", "--out", str(out))
    assert "'bolt'" in said
    assert "nut" in said
    assert not out.exists()


def test_a_folder_of_other_work_is_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An output folder that the demo did not make is refused, not emptied."""
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "not empty" in refused(capfd, "--out", str(tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_that_holds_the_data_is_not_emptied(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The data that an earlier demo drew may be inspected, but not into the folder that is emptied for it."""
    parts.write_dataset(tmp_path / "data", ["nut"], parts.Counts(train=4, good=1, defective=1))
    (tmp_path / ".regad-demo").touch()
    said = refused(capfd, "--data", str(tmp_path / "data"), "--category", "nut", "--out", str(tmp_path))
    assert f"holds --data {tmp_path / 'data'}, which would be lost" in said
    assert (tmp_path / "data" / "nut" / "train" / "good" / "000.png").is_file()


def test_whole_flow_on_a_tiny_data_set(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Untrained weights on a few drawings: exported, verified, taught, inspected, reported."""
    import demo

    for module in (demo, reasons):
        monkeypatch.setattr(module, "SHOT", 2)
    for name, counts in (("nut", parts.Counts(train=2, good=2, defective=1)), ("tile", parts.Counts(train=2))):
        for row in parts.plan(name, counts, test=name == "nut"):
            parts.write_picture(tmp_path / "data", name, row, seed=0)
    out = tmp_path / "out"
    words = ("--data", str(tmp_path / "data"), "--category", "nut", "--epochs", "0", "--out", str(out))
    words += ("--picture", str(tmp_path / "picture.jpg"))
    with pytest.raises(SystemExit) as ended:
        run_cli(demo.command, list(words))
    said = capfd.readouterr()
    assert ended.value.code in (0, None), said.err
    assert "image AUROC" in said.out
    assert "p99" in said.out
    assert said.out.startswith("This teaches nut from 2 good photos")
    assert all(f"      {reason} " in said.out for reason in ("misplaced", "no_part"))
    text = (out / "index.html").read_text(encoding="utf-8")
    assert "regad-calib" in text
    assert text.count("<figure class='item'>") == 6 + len(reasons.frames())
    assert "regad-station simulate" in text
    assert len(list((out / "overlays").iterdir())) == 6
    assert (tmp_path / "picture.jpg").stat().st_size > 10_000
