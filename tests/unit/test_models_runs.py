"""What a training's folder keeps, so that it goes on as it began and nothing else is written over it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from models_helpers import write_blocks

torch = pytest.importorskip("torch", reason="torch is not installed: scripts/requirements/train.txt")

from nanorover.errors import InputError
from nanorover.params import load
from nanorover_models import commands
from nanorover_models import model as models
from nanorover_models.data import DataSet, load_data
from nanorover_models.model import ModelSpec
from nanorover_models.params import TrainParams
from nanorover_models.report import Reporter
from nanorover_models.runs import alone, differences, made_with, refuse_begun
from nanorover_models.train import Trainer
from nanorover_models.world import join_world

TINY = load(
    TrainParams,
    "train",
    width_multiplier=0.25,
    input_width=128,
    input_height=96,
    epochs=2,
    batch=4,
    validate_every=1,
)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blocks(tmp_path_factory.mktemp("blocks"), 8, seed=1)


@pytest.fixture(scope="module")
def begun(blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was interrupted after one of two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "begun"

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    data = load_data(blocks)
    with pytest.raises(KeyboardInterrupt):
        commands.train(data, data, TINY, folder, start=None, resume=False, report=Reporter(interrupt))
    return folder


def resume(
    folder: Path,
    training: DataSet,
    settings: TrainParams = TINY,
    validation: DataSet | None = None,
) -> list[str]:
    """What is said when a run is about to go on."""
    said: list[str] = []
    spec = ModelSpec(settings.architecture, settings.width_multiplier, 128, 96, training.labels)
    trainer = Trainer(spec, models.build(spec), settings, folder, world=join_world())
    trainer.resume(training, validation or training, Reporter(said.append))
    return said


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """What is written in a folder, and when it was."""
    files = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    return files | {"": (folder.stat().st_mtime_ns, b"")}


def test_a_folder_in_which_a_training_began_is_refused_with_how_far_it_came(begun: Path, tmp_path: Path) -> None:
    refuse_begun(tmp_path / "absent", resumable=True)
    refuse_begun(tmp_path, resumable=True)
    how_far = r"begun holds a training that is begun, 1 of 2 epochs \(best AP 0\.\d+\)\n.*give another --out"
    with pytest.raises(InputError, match=how_far + "; --resume goes on with it"):
        refuse_begun(begun, resumable=True)
    with pytest.raises(InputError, match=how_far + "$"):
        refuse_begun(begun, resumable=False)
    shutil.copy(begun / "best.pt", tmp_path)
    with pytest.raises(InputError, match=r"holds a training \(best\.pt\)"):
        refuse_begun(tmp_path, resumable=True)


@pytest.mark.parametrize(
    "command",
    [
        ["train"],
        ["prune", "absent.pt"],
        ["distil", "--teacher", "absent.pt"],
    ],
)
def test_commands_refuse_it_before_anything_is_read(begun: Path, command: list[str]) -> None:
    import typer
    from typer.testing import CliRunner

    from nanorover.cli import model

    app = typer.Typer()
    model.register(app)
    before = contents(begun)
    done = CliRunner().invoke(app, ["model", *command, "--data", "absent", "--out", str(begun)])
    assert "holds a training that is begun" in str(done.exception)
    assert contents(begun) == before


def test_a_run_goes_on_without_a_word_with_what_it_began_with(begun: Path, blocks: Path) -> None:
    data = load_data(blocks)
    free = replace(TINY, workers=1, pictures_on_gpu=False, validate_every=7, validation_part=0.3)
    assert resume(begun, data) == resume(begun, data, free) == []
    elsewhere = shutil.copytree(blocks, begun.parent / "elsewhere")
    assert resume(begun, load_data(elsewhere)) == []


def test_what_is_a_matter_of_taste_is_said_in_one_line(begun: Path, blocks: Path) -> None:
    data = load_data(blocks)
    other = replace(TINY, epochs=9, mixed_precision=False, batch=8)
    assert resume(begun, data, other) == [
        "warning: it goes on with epochs 9 instead of 2; mixed_precision False instead of True;"
        " 8 pictures in each step instead of 4, at a learning rate that follows"
    ]


def test_twice_as_many_processes_with_half_the_pictures_each_are_the_same(begun: Path, blocks: Path) -> None:
    data, content = load_data(blocks), models.load_checkpoint(begun / "last.pt")
    spec, two = models.spec_of(content), made_with(data, data, processes=2, taught=False)
    assert differences(begun, content, spec, replace(TINY, batch=2), two) == []
    assert "8 pictures in each step instead of 4" in differences(begun, content, spec, TINY, two)[0]


def test_another_run_is_refused_with_all_that_differs(begun: Path, blocks: Path) -> None:
    data = load_data(blocks)
    swapped = data.named(data.labels[::-1])
    wider = replace(TINY, flip=0.1, learning_rate=0.5)
    before = contents(begun)
    for given, why in (
        (
            {"training": data, "settings": wider},
            r"trained with learning_rate 0\.002, not 0\.5; flip 0\.5, not 0\.1",
        ),
        ({"training": swapped}, "trained with labels bright, dark, not dark, bright"),
        ({"training": replace(data, samples=data.samples[1:])}, "another training and another validation set"),
        (
            {"training": data, "validation": replace(data, samples=data.samples[1:])},
            r"trained with another validation set.*\n.*same --data and --validation, or .*: --start .*best\.pt",
        ),
    ):
        with pytest.raises(InputError, match=why):
            resume(begun, **given)
    assert contents(begun) == before


def test_other_pictures_with_the_same_names_and_boxes_are_noticed(
    begun: Path, blocks: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(blocks, tmp_path / "other")
    shutil.copy(other / "images" / "001.png", other / "images" / "000.png")
    with pytest.raises(InputError, match="another training and another validation set"):
        resume(begun, load_data(other))


def test_a_taught_a_pruned_and_an_old_run_do_not_go_on(begun: Path, blocks: Path, tmp_path: Path) -> None:
    data = load_data(blocks)
    content = models.load_checkpoint(begun / "last.pt")

    def changed(**changes: object) -> Path:
        torch.save({**content, **changes}, tmp_path / "last.pt")
        return tmp_path

    with pytest.raises(InputError, match="was trained with a teacher, and would go on without"):
        resume(changed(run={**content["run"], "taught": True}), data)
    narrow = models.build(replace(models.spec_of(content), width_multiplier=0.1)).state_dict()
    with pytest.raises(InputError, match="other channels, as pruning leaves one"):
        resume(changed(raw=narrow), data)
    torch.save({name: part for name, part in content.items() if name != "run"}, tmp_path / "last.pt")
    with pytest.raises(InputError, match="is of an older version"):
        resume(tmp_path, data)
    (tmp_path / "last.pt").unlink()
    with pytest.raises(InputError, match="holds no training to go on with\n.*without --resume a new one begins"):
        resume(tmp_path, data)


def test_a_finished_run_is_said_and_left_alone_until_more_is_asked_for(
    begun: Path, blocks: Path, tmp_path: Path
) -> None:
    data, said = load_data(blocks), []
    folder = shutil.copytree(begun, tmp_path / "run")

    def go_on(epochs: int) -> Path:
        said.clear()
        settings, report = replace(TINY, epochs=epochs), Reporter(said.append)
        return commands.train(data, data, settings, folder, start=None, resume=True, report=report)

    go_on(2)
    before = contents(folder)
    for epochs in (2, 1):
        with alone(folder):  # not even the folder is claimed
            assert go_on(epochs) == folder / "best.pt"
        assert [line.partition(",")[0] for line in said] == [f"{folder} is finished: 2 epochs"]
    assert contents(folder) == before
    with pytest.raises(InputError, match="is finished, 2 of 2 epochs .*\n.*; --resume with a greater --epochs"):
        refuse_begun(folder, resumable=True)
    go_on(3)
    assert said[0] == "warning: it goes on with epochs 3 instead of 2"
    assert said[1].startswith("epoch 3 ")
    assert models.load_checkpoint(folder / "last.pt")["progress"]["epoch"] == 3
