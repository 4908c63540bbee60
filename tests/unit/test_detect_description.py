"""Model descriptions: found by name, by file, by content; refused by field."""

import sys
from pathlib import Path

import pytest
import yaml

from nanorover.cli import main
from nanorover.errors import InputError
from nanorover.perception.description import file_hash, file_of, load_model, models_folder, read_description

GOOD = {
    "name": "m",
    "files": {"fp32": "m.onnx", "int8_cpu": "m_int8.onnx"},
    "input": {
        "width": 96,
        "height": 64,
        "colour": "rgb",
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "resize": "stretch",
    },
    "head": {"kind": "yolox", "strides": [8]},
    "labels": ["cat", "dog"],
}


def write(path: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


def test_a_model_is_found_by_its_yaml_or_any_of_its_files(tmp_path: Path) -> None:
    path = write(tmp_path / "m.yaml")
    for name in ("m.onnx", "m_int8.onnx"):
        (tmp_path / name).write_bytes(b"onnx")
    assert load_model(str(path)).files == {"fp32": tmp_path / "m.onnx", "int8_cpu": tmp_path / "m_int8.onnx"}
    assert load_model(str(tmp_path / "m.onnx")).files == {"fp32": tmp_path / "m.onnx"}
    described = load_model(str(tmp_path / "m_int8.onnx"))
    assert described.files == {"int8_cpu": tmp_path / "m_int8.onnx"}
    assert described.labels == ("cat", "dog")


def test_weights_may_lie_elsewhere(tmp_path: Path) -> None:
    path, weights = write(tmp_path / "m.yaml"), tmp_path / "far.onnx"
    weights.write_bytes(b"onnx")
    assert load_model(str(path), str(weights)).files == {"fp32": weights}
    far = tmp_path / "elsewhere" / "m_int8.onnx"
    far.parent.mkdir()
    far.write_bytes(b"onnx")
    assert load_model(str(path), str(far)).files == {"int8_cpu": far}, "of the variant that the YAML names so"
    with pytest.raises(InputError, match="no weights file"):
        load_model(str(path), str(tmp_path / "absent.onnx"))


def test_labels_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\n\n dog \n")
    assert read_description(write(tmp_path / "m.yaml", labels="names.txt")).labels == ("cat", "dog")
    with pytest.raises(InputError, match=r"cannot read the label file .*absent\.txt"):
        read_description(write(tmp_path / "m.yaml", labels="absent.txt"))
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(InputError, match=r"the label file .*none\.txt is empty"):
        read_description(write(tmp_path / "m.yaml", labels="none.txt"))


def test_a_file_that_nothing_describes_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"unknown")
    with pytest.raises(InputError, match=r"(?s)nothing describes .*x\.onnx: no x\.yaml.*write it"):
        load_model(str(tmp_path / "x.onnx"))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="(?s)no model 'yolo99'.*yolox_nano_416"):
        load_model("yolo99")


def test_every_shipped_description_can_be_read() -> None:
    found = [read_description(path) for path in sorted(models_folder().glob("*/**/*.yaml"))]
    assert {"yolox_nano_416", "picodet_s_320", "nanodet_m_416", "fastestdet_352"} <= {d.name for d in found}
    assert all(len(d.sha256) == 64 for d in found)
    assert all(d.name == d.source.stem for d in found)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"input": {**GOOD["input"], "width": 0}}, "width is 0"),
        ({"input": {**GOOD["input"], "width": "wide"}}, "'width' is 'wide'"),
        ({"input": {**GOOD["input"], "colour": "hsv"}}, "'colour' is 'hsv'"),
        ({"input": {**GOOD["input"], "std": [1, 0, 1]}}, "std is"),
        ({"input": {**GOOD["input"], "mean": [1, 2]}}, "'mean' is"),
        ({"input": {**GOOD["input"], "resize": "crop"}}, "'resize' is 'crop'"),
        ({"input": {**GOOD["input"], "size": 3}}, "unknown key 'size'"),
        ({"input": {**GOOD["input"], "std": [1, 1, float("nan")]}}, "'std' is"),
        ({"input": {**GOOD["input"], "pad": float("inf")}}, "pad is inf"),
        ({"input": {**GOOD["input"], "pad": 256}}, "pad is 256"),
        ({"input": {**GOOD["input"], "pad": "grey"}}, "pad is 'grey'"),
        ({"head": {"kind": "rcnn"}}, "'kind' is 'rcnn'"),
        ({"head": {"kind": "yolox", "strides": [8], "reg_max": 7}}, "unknown key 'reg_max'"),
        ({"labels": []}, "'labels' is missing"),
        ({"labels": ["cat", None]}, "label 1 is None"),
        ({"labels": [False, "cat"]}, "label 0 is False"),  # as YAML reads a plain no
        ({"files": {}}, "names no file"),
        ({"files": {"fp8": "x.onnx"}}, "unknown key 'fp8'"),
        ({"nonsense": 1}, "unknown key 'nonsense'"),
        ({"name": 7}, "'name' is 7"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        read_description(write(tmp_path / "m.yaml", **changes))


@pytest.mark.parametrize("text", ["", "- a list", "name: [", "\x00\x01"])
def test_a_file_that_is_no_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(InputError, match=r"m\.yaml"):
        read_description(tmp_path / "m.yaml")


def test_the_command_line_prints_brackets_of_a_refusal_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.yaml").write_text("name: [unclosed\n")
    monkeypatch.setattr(sys, "argv", ["nanorover", "detect", "a.jpg", "--model", str(tmp_path / "m.yaml")])
    with pytest.raises(SystemExit):
        main()
    assert "name: [unclosed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "whence"),
    [
        ("yolox_nano_416", "get it, whole, from Megvii-BaseDetection/YOLOX, release 0.1.1"),
        ("FastestDet", "get it, whole, from dog-qiuqiu/FastestDet"),
        ("mine", ""),
    ],
)
def test_a_public_model_that_is_not_there_has_a_place_to_get_it_from(
    tmp_path: Path, name: str, whence: str
) -> None:
    with pytest.raises(InputError, match="there is no model file") as refused:
        load_model(str(tmp_path / f"{name}.onnx"))
    assert refused.value.hint.endswith(whence) and bool(refused.value.hint) == bool(whence)
    (tmp_path / f"{name}.onnx").write_bytes(b"half of it")
    with pytest.raises(InputError, match="nothing describes") as refused:
        load_model(str(tmp_path / f"{name}.onnx"))
    assert whence in refused.value.hint


def test_a_file_that_is_not_the_described_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"whole")
    description = read_description(write(tmp_path / "m.yaml", sha256=file_hash(tmp_path / "m.onnx")))
    assert file_of(description, "fp32") == tmp_path / "m.onnx"
    assert file_of(description, "int8_cpu") == tmp_path / "m_int8.onnx", "of which the YAML does not know more"
    (tmp_path / "m.onnx").write_bytes(b"while")
    with pytest.raises(InputError, match=r"(?s)m\.onnx is not the file that .*m\.yaml describes.*damaged"):
        file_of(description, "fp32")


def test_a_home_of_nobody_is_said() -> None:
    with pytest.raises(InputError, match=r"~no_such_user/m\.onnx is in nobody's home"):
        load_model("~no_such_user/m.onnx")


def test_file_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a").startswith("ba7816bf8f01cfea")
