from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from regad.runtime.errors import InputError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.reading import read_image
from regad.train.data import layouts
from regad.train.data.layouts import VISA_SPLIT, good_images, list_categories
from regad.train.data.masks import read_mask

from ..helpers import draw

Rows = list[tuple[str, int, str, str | None]]


def touch(root: Path, *names: str, size: tuple[int, int] = (48, 40)) -> None:
    """Draw a small picture at each place."""
    for index, name in enumerate(names):
        draw(root / name, index, size)


def items(category: Path) -> Rows:
    return [(i.path.name, i.label, i.defect, i.mask and i.mask.name) for i in layouts.test_items(category)]


def test_mvtec_and_mpdd(tmp_path: Path) -> None:
    touch(tmp_path / "screw", "train/good/000.png", "test/good/000.png", "test/scratch/000.png", "test/scratch/001.png")
    touch(tmp_path / "screw", "test/dent/000.png", "ground_truth/scratch/001_mask.png")
    assert list_categories(tmp_path) == ["screw"]
    assert [path.name for path in good_images(tmp_path, "screw")] == ["000.png"]
    assert items(tmp_path / "screw") == [
        ("000.png", 1, "dent", None),
        ("000.png", 0, "good", None),
        ("000.png", 1, "scratch", None),
        ("001.png", 1, "scratch", "001_mask.png"),
    ]


def test_btad(tmp_path: Path) -> None:
    """Bitmaps and PNGs; a mask has its image's stem, and often another suffix."""
    touch(tmp_path / "01", "train/ok/0001.bmp", "train/ok/0000.bmp", "test/ok/0000.bmp", "test/ko/0000.bmp")
    touch(tmp_path / "01", "ground_truth/ko/0000.png")
    touch(tmp_path / "03", "train/ok/0000.bmp", "test/ko/0007.bmp", "test/ko/0008.bmp", "ground_truth/ko/0007.bmp")
    assert list_categories(tmp_path) == ["01", "03"]
    assert [path.name for path in good_images(tmp_path, "01")] == ["0000.bmp", "0001.bmp"]
    assert items(tmp_path / "01") == [("0000.bmp", 1, "ko", "0000.png"), ("0000.bmp", 0, "ok", None)]
    assert items(tmp_path / "03") == [("0007.bmp", 1, "ko", "0007.bmp"), ("0008.bmp", 1, "ko", None)]


def test_plain(tmp_path: Path) -> None:
    touch(tmp_path, "nut/good/1.png", "nut/good/10.png", "nut/good/2.png", "bolt/good/1.jpg", "notes/readme/1.png")
    assert list_categories(tmp_path) == ["bolt", "nut"]
    assert [path.name for path in good_images(tmp_path, "nut")] == ["1.png", "2.png", "10.png"]
    with pytest.raises(InputError, match=r"nut has only good images \(good/\); to test, use MVTec AD or MPDD's layout"):
        layouts.test_items(tmp_path / "nut")


def test_layouts_may_stand_side_by_side(tmp_path: Path) -> None:
    touch(tmp_path, "a/train/good/0.png", "b/train/ok/0.png", "c/good/0.png")
    assert list_categories(tmp_path) == ["a", "b", "c"]
    assert [good_images(tmp_path, name)[0].parent.name for name in "abc"] == ["good", "ok", "good"]


VISA = """object,split,label,image,mask
candle,train,normal,candle/Data/Images/Normal/0001.JPG,
candle,test,normal,candle/Data/Images/Normal/0000.JPG,
candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png
pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,
"""


def make_visa(root: Path, rows: str = VISA) -> Path:
    touch(root / "candle" / "Data", "Images/Normal/0000.JPG", "Images/Normal/0001.JPG", "Images/Anomaly/000.JPG")
    touch(root, "candle/Data/Masks/Anomaly/000.png", "pcb1/Data/Images/Normal/0000.JPG")
    (root / VISA_SPLIT).parent.mkdir()
    (root / VISA_SPLIT).write_text(rows)
    return root


def test_visa(tmp_path: Path) -> None:
    root = make_visa(tmp_path)
    assert list_categories(root) == ["candle", "pcb1"]
    assert good_images(root, "candle") == [root / "candle/Data/Images/Normal/0001.JPG"]
    assert items(root / "candle") == [("0000.JPG", 0, "good", None), ("000.JPG", 1, "anomaly", "000.png")]
    with pytest.raises(InputError, match=r"1cls\.csv lists no test image of pcb1"):
        layouts.test_items(root / "pcb1")
    with pytest.raises(InputError, match=r"'fryum' is not in .* it holds candle, pcb1"):
        good_images(root, "fryum")


def test_visas_masks_number_their_defects_from_one(tmp_path: Path) -> None:
    root = make_visa(tmp_path)
    mask = Image.new("L", (48, 40))
    mask.paste(1, (0, 0, 24, 40))
    mask.save(root / "candle/Data/Masks/Anomaly/000.png")
    item = layouts.test_items(root / "candle")[1]
    assert item.mask is not None
    got = read_mask(item.mask, read_image(item.path).shape, InputSpec())
    assert got[:, :112].all()
    assert not got[:, 112:].any()


@pytest.mark.parametrize(
    "data",
    [
        VISA.encode("utf-8-sig"),
        VISA.encode("utf-16"),
        VISA.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig"),
        VISA.replace(",", "\t").encode("utf-16"),
        VISA.replace("candle,", '"candle",').encode(),
        ("sep=;\n" + VISA.replace(",", ";")).replace("\n", "\r\n").encode("utf-8-sig"),
        ("SEP=,\n" + VISA).encode(),
        ("sep=\t\n" + VISA.replace(",", "\t")).encode("utf-16"),
    ],
)
def test_visas_list_as_a_spreadsheet_writes_it(tmp_path: Path, data: bytes) -> None:
    root = make_visa(tmp_path)
    wanted = list_categories(root), good_images(root, "candle"), items(root / "candle")
    (root / VISA_SPLIT).write_bytes(data)
    assert (list_categories(root), good_images(root, "candle"), items(root / "candle")) == wanted


@pytest.mark.parametrize("name", ["/etc/absent.png", "../" * 40 + "x.png", "x" * 5000])
def test_odd_names_in_visas_list_are_named_in_one_line(tmp_path: Path, name: str) -> None:
    root = make_visa(tmp_path, VISA + f"candle,train,normal,{name},\n")
    with pytest.raises(InputError, match="which is missing") as caught:
        good_images(root, "candle")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", r"lacks the column object; expected object,split,label,image,mask"),
        ("object,split,label,image\n", "lacks the column mask"),
        ("object,split,label,image,mask\n", "lists no image"),
        (VISA + "candle,train\n", "line 6, is cut short"),
        (VISA + "candle,val,normal,x.JPG,\n", "line 6: split 'val', label 'normal'; expected train or test"),
        (VISA + "candle,train,bad,x.JPG,\n", "line 6: split 'train', label 'bad'"),
        (VISA + "candle,train,normal,candle/x.JPG,\n", r"lists candle/x\.JPG, which is missing"),
        ("\xff\xfe", "lacks the column"),
        ("sep=,\n\n" + VISA, "lacks the column object"),
        ("sep=,\n" + VISA + "candle,train\n", "line 7, is cut short"),
        (VISA + "\ncandle,train\n", "line 7, is cut short"),
    ],
)
def test_a_damaged_visa_list(tmp_path: Path, rows: str, said: str) -> None:
    root = make_visa(tmp_path, rows)
    with pytest.raises(InputError, match=said) as caught:
        good_images(root, "candle")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", (VISA + "Prüfling").encode("cp1252")])
def test_a_visa_list_in_another_encoding_says_what_to_do(tmp_path: Path, data: bytes) -> None:
    root = make_visa(tmp_path)
    (root / VISA_SPLIT).write_bytes(data)
    with pytest.raises(InputError) as caught:
        list_categories(root)
    assert str(caught.value) == (
        f"{root / VISA_SPLIT} is neither UTF-8 nor UTF-16; save it again as UTF-8 (Excel's file type CSV UTF-8)"
    )


def test_one_category_instead_of_its_folder(tmp_path: Path) -> None:
    for name in ("train/good", "train/ok", "good"):
        touch(tmp_path / name.replace("/", "_"), f"{name}/0.png")
        with pytest.raises(InputError, match="is one category; name the folder above it"):
            list_categories(tmp_path / name.replace("/", "_"))


def test_no_test_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"test does not exist; expected screw/test/good and screw/test/<defect>"):
        layouts.test_items(tmp_path / "screw")
    (tmp_path / "screw" / "test" / "good").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no image"):
        layouts.test_items(tmp_path / "screw")
    (tmp_path / "01" / "train" / "ok").mkdir(parents=True)
    with pytest.raises(InputError, match=r"test does not exist; expected 01/test/ok and 01/test/<defect>"):
        layouts.test_items(tmp_path / "01")


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    touch(tmp_path / "01", "train/ok/0.bmp", "test/ko/0.bmp")
    touch(tmp_path / "01", "ground_truth/ko/0.png", size=(40, 40))
    item = layouts.test_items(tmp_path / "01")[0]
    assert item.mask is not None
    with pytest.raises(InputError, match=r"0\.png is 40x40 pixels; its image is 48x40: expected the same size"):
        read_mask(item.mask, read_image(item.path).shape, InputSpec())


def test_every_layout_is_complete() -> None:
    for layout in layouts.LAYOUTS:
        assert layout.good
        assert bool(layout.test) == bool(layout.good_test) == bool(layout.masks)
    assert len({layout.good for layout in layouts.LAYOUTS}) == len(layouts.LAYOUTS)


def notes_of(category: Path) -> list[str]:
    notes: list[str] = []
    layouts.test_items(category, notes.append)
    return [note.removeprefix(f"{category}: ").removeprefix(f"{category}/") for note in notes]


def test_what_is_left_out_of_a_test_set_is_said(tmp_path: Path) -> None:
    root = tmp_path / "screw"
    touch(root, "train/good/0.png", "test/good/0.png", "test/dent/1.png", "test/dent/2.png", "test/dent/3.png")
    touch(root, "test/stray.png", "test/.ipynb_checkpoints/1.png", "ground_truth/dent/1_mask.png")
    touch(root, "ground_truth/dent/9_mask.png", "ground_truth/dent/2_mask.bmp", "test/dent/deeper/4.png")
    (root / "test" / "dent" / "notes.txt").touch()
    assert notes_of(root) == [
        "test: passed over, being no folders or hidden: .ipynb_checkpoints, stray.png",
        "test/dent: passed over, being no image files: 1 .txt, 1 folder(s)",
        "2 file(s) among the masks belong to no test image: ground_truth/dent/2_mask.bmp, ground_truth/dent/9_mask.png"
        "; expected ground_truth/{defect}/{stem}_mask.png",
        "2 defective image(s) without the mask that others have: dent/2.png, dent/3.png",
    ]


def test_a_complete_test_set_says_nothing(tmp_path: Path) -> None:
    root = tmp_path / "screw"
    touch(root, "train/good/0.png", "test/good/0.png", "test/dent/1.png", "ground_truth/dent/1_mask.png")
    assert notes_of(root) == []
    touch(tmp_path / "01", "train/ok/0.bmp", "test/ok/0.bmp", "test/ko/1.bmp", "ground_truth/ko/1.png")
    assert notes_of(tmp_path / "01") == []
    touch(tmp_path / "02", "train/ok/0.bmp", "test/ko/1.bmp", "test/ko/2.bmp")
    assert notes_of(tmp_path / "02") == []  # a set without masks lacks none


def test_visa_rows_without_the_mask_that_others_have_are_said(tmp_path: Path) -> None:
    root = make_visa(tmp_path, VISA + "candle,test,anomaly,candle/Data/Images/Normal/0000.JPG,\n")
    assert notes_of(root / "candle") == ["1 defective image(s) without the mask that others have: Normal/0000.JPG"]


def test_folders_that_are_no_category_are_said(tmp_path: Path) -> None:
    touch(tmp_path, "nut/good/1.png", "notes/readme/1.png")
    notes: list[str] = []
    assert list_categories(tmp_path, notes.append) == ["nut"]
    assert notes == [f"{tmp_path}: passed over, being no category: notes"]


def test_visas_train_rows_of_defects_are_left_out_and_counted(tmp_path: Path) -> None:
    root = make_visa(tmp_path, VISA + "candle,train,anomaly,candle/Data/Images/Anomaly/000.JPG,\n")
    notes: list[str] = []
    assert [path.name for path in good_images(root, "candle", notes.append)] == ["0001.JPG"]
    assert notes == [f"{root / VISA_SPLIT}: 1 train image(s) of candle are labelled anomaly and left out: 000.JPG"]


@pytest.mark.parametrize("place", [".", "screw", "screw/train", "screw/test"])
def test_a_folder_that_cannot_be_entered_is_named_in_one_line(
    tmp_path: Path, lock: Callable[[Path], None], place: str
) -> None:
    root = tmp_path / "data"
    touch(root / "screw", "train/good/0.png", "test/good/0.png", "test/dent/1.png", "ground_truth/dent/1_mask.png")
    lock(root / place)
    with pytest.raises(InputError, match=r"(cannot be read|cannot read folder).*Permission denied"):
        good_images(root, "screw")
        layouts.test_items(root / "screw")


def test_masks_that_cannot_be_looked_for_are_an_error(tmp_path: Path, lock: Callable[[Path], None]) -> None:
    root = tmp_path / "screw"
    touch(root, "train/good/0.png", "test/dent/1.png", "ground_truth/dent/1_mask.png")
    lock(root / "ground_truth" / "dent")
    with pytest.raises(InputError, match=r"1_mask\.png cannot be read: Permission denied; check its permissions"):
        layouts.test_items(root)


def test_masks_of_no_image_that_cannot_be_listed_are_said(tmp_path: Path, lock: Callable[[Path], None]) -> None:
    root = tmp_path / "screw"
    touch(root, "train/good/0.png", "test/dent/1.png", "ground_truth/dent/1_mask.png", "ground_truth/old/1_mask.png")
    lock(root / "ground_truth" / "old")
    assert notes_of(root) == ["ground_truth/old cannot be read: Permission denied; the masks in it are not read"]


def test_visas_images_that_cannot_be_read_are_not_called_missing(tmp_path: Path, lock: Callable[[Path], None]) -> None:
    root = make_visa(tmp_path)
    lock(root / "candle" / "Data" / "Images")
    with pytest.raises(InputError, match=r"0001\.JPG cannot be read: Permission denied"):
        good_images(root, "candle")


def test_an_image_whose_masks_name_would_be_too_long_has_none(tmp_path: Path) -> None:
    root = tmp_path / "screw"
    name = "x" * 251 + ".png"
    touch(root, "train/good/0.png", f"test/dent/{name}", "test/dent/1.png", "ground_truth/dent/1_mask.png")
    assert items(root) == [("1.png", 1, "dent", "1_mask.png"), (name, 1, "dent", None)]
