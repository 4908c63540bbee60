"""Engine files, their cache, and the choice of engine and precision; what needs no GPU."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from detect_helpers import described

from nanorover.errors import InputError
from nanorover.params import load
from nanorover.perception.description import load_model
from nanorover.perception.engines import cache as engine_cache
from nanorover.perception.engines.cache import EngineCache, require_memory
from nanorover.perception.engines.choice import choose_on_cpu, choose_on_gpu, gpu_abilities, make_engine
from nanorover.perception.engines.cuda import Device
from nanorover.perception.engines.engine_file import EngineKey, check_key, read_engine, write_engine
from nanorover.perception.engines.onnx_runtime import OnnxRuntimeEngine
from nanorover.perception.params import DetectorParams, make_detector

NANO = EngineKey("ab" * 32, "8.2.1.8", "5.3", "fp16", "1x3x300x300")
ALL = {v: Path(f"{v}.onnx") for v in ("fp32", "fp16", "int8_cpu", "int8_gpu")}


def test_an_engine_file_returns_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / NANO.file_name("rover")
    assert path.name == "rover-abababababab-trt8.2.1.8-sm53-fp16-1x3x300x300.engine"
    write_engine(path, NANO, b"the plan", 12.5)
    assert read_engine(path) == (NANO, b"the plan", 12.5)


def test_a_damaged_engine_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "e.engine"
    write_engine(path, NANO, b"the plan", 1.0)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"damaged or cut off|is not an engine file"):
            read_engine(path)
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            key, plan, _ = read_engine(path)
        except InputError:
            continue
        assert plan == b"the plan"  # only words of the header can change unnoticed, never the plan
        assert key != NANO or position < len(whole) - len(plan)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("tensorrt", "10.3.0", "another TensorRT: 8.2.1.8, but here it is 10.3.0"),
        ("compute_capability", "8.7", "another GPU: 5.3, but here it is 8.7"),
        ("onnx_sha256", "cd" * 32, "another ONNX file"),
        ("precision", "int8", "another precision"),
        ("shape", "1x3x416x416", "another input size"),
    ],
)
def test_an_engine_of_elsewhere_says_in_what_it_differs(field: str, value: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_key(Path("e.engine"), NANO, NANO._replace(**{field: value}))
    assert NANO._replace(**{field: value}).file_name("m") != NANO.file_name("m")


def test_an_engine_copied_from_another_board_is_refused_by_the_cache(tmp_path: Path) -> None:
    cache, orin = EngineCache(tmp_path), NANO._replace(compute_capability="8.7", tensorrt="10.3.0")
    write_engine(cache.path("m", NANO), orin, b"the plan", 1.0)
    with pytest.raises(InputError, match="another TensorRT: 10.3.0, but here it is 8.2.1.8") as error:
        cache.load("m", NANO)
    assert "delete it" in str(error.value)


def test_the_cache_builds_once_and_times_it(tmp_path: Path) -> None:
    cache, said = EngineCache(tmp_path / "cache"), []
    assert cache.load("m", NANO) is None
    assert cache.build("m", NANO, lambda: b"plan", 1, said.append) == b"plan"
    assert "about 4 min" in said[0]
    assert cache.load("m", NANO) == b"plan"
    assert cache.load("m", NANO._replace(precision="fp32")) is None
    assert cache.estimate_s(NANO) < 1.0, "a timed build is the better estimate"
    assert [p.suffix for p in cache.folder.iterdir()] == [".engine"], "nothing half-written is left"


def test_a_build_that_takes_longer_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_cache, "TICK_S", 0.01)
    key, late, said = NANO._replace(compute_capability="8.7"), threading.Event(), []
    write_engine(tmp_path / "earlier.engine", key, b"plan", 0.02)

    def say(sentence: str) -> None:
        said.append(sentence)
        if "longer than" in sentence:
            late.set()

    def make_plan() -> bytes:
        assert late.wait(20.0)
        return b"plan"

    EngineCache(tmp_path).build("m", key, make_plan, 1, say)
    assert "  … 0 s, longer than the 0 s expected" in said


def test_a_build_is_expected_to_take_as_long_as_the_longest_of_its_kind(tmp_path: Path) -> None:
    cache, orin = EngineCache(tmp_path), NANO._replace(compute_capability="8.7")
    for stem, key, build_s in (("a", NANO, 100.0), ("b", NANO, 200.0), ("c", NANO, 150.0), ("d", orin, 700.0)):
        write_engine(cache.path(stem, key), key, b"plan", build_s)
    (tmp_path / "e.engine").write_bytes(b"damaged")
    assert cache.estimate_s(NANO) == 200.0
    assert cache.estimate_s(orin) == 700.0
    assert cache.estimate_s(orin._replace(precision="int8")) == 180.0, "nothing of its kind: a guess"


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        EngineCache(tmp_path).build("m", NANO, fail, 1, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_refused_before_the_build(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"engine cache .* cannot be written"):
        EngineCache(tmp_path / "file").build("m", NANO, lambda: pytest.fail("built"), 1, lambda _: None)


def test_engines_may_be_built_at_the_same_time(tmp_path: Path) -> None:
    def build(_: int) -> bytes:
        return EngineCache(tmp_path).build("m", NANO, lambda: b"plan", 1, lambda _: None)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(build, range(400))) == {b"plan"}


def test_a_full_disk_is_refused_before_the_build(small_disk: Path) -> None:
    with pytest.raises(InputError, match="(?s)engine cache .* has room for 3 MiB, but .*make room"):
        EngineCache(small_disk / "cache").build("m", NANO, lambda: pytest.fail("built"), 1, lambda _: None)


def test_short_memory_is_refused_before_the_build(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 4000000 kB\nMemAvailable: 200000 kB\nSwapFree: 100000 kB\n")
    require_memory(200 << 20, meminfo)
    with pytest.raises(InputError, match="needs about 400 MiB of memory, but 292 MiB are free"):
        require_memory(400 << 20, meminfo)
    with pytest.raises(
        InputError, match=f"needs about {(1 << 30) + 512} MiB"
    ):  # the workspace and what else it takes
        EngineCache(tmp_path).build("m", NANO, lambda: pytest.fail("built"), 1 << 50, lambda _: None)


@pytest.mark.parametrize(
    ("capability", "abilities"),
    [
        ("5.3", (True, False)),  # Jetson Nano
        ("6.2", (True, False)),  # TX2
        ("6.1", (False, True)),
        ("7.2", (True, True)),  # Xavier
        ("8.7", (True, True)),  # Orin
        ("5.0", (False, False)),
    ],
)
def test_what_gpus_can_do(capability: str, abilities: tuple[bool, bool]) -> None:
    assert gpu_abilities(capability) == abilities


@pytest.mark.parametrize(
    ("wanted", "capability", "major", "precision", "variant"),
    [
        ("auto", "5.3", 8, "fp16", "fp32"),
        ("auto", "8.7", 8, "int8", "int8_gpu"),
        ("auto", "8.7", 11, "int8", "int8_gpu"),
        ("fp16", "8.7", 11, "fp16", "fp16"),
        ("fp16", "8.7", 10, "fp16", "fp32"),
        ("auto", "5.0", 8, "fp32", "fp32"),
        ("fp32", "8.7", 10, "fp32", "fp32"),
    ],
)
def test_precision_and_file_follow_from_gpu_and_release(wanted, capability, major, precision, variant) -> None:
    choice = choose_on_gpu(ALL, wanted, capability, major)
    assert (choice.precision, choice.variant) == (precision, variant)
    assert precision.upper() in choice.reason


def test_int8_on_the_nano_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"INT8 cannot be computed by .*5\.3"):
        choose_on_gpu(ALL, "int8", "5.3", 8)


def test_a_model_without_the_file_falls_to_the_next_precision_or_says_so() -> None:
    only = {"fp32": Path("m.onnx")}
    assert choose_on_gpu(only, "auto", "8.7", 10).precision == "fp16"
    assert choose_on_gpu(only, "auto", "8.7", 11).precision == "fp32"
    with pytest.raises(InputError, match="no file 'int8_gpu'"):
        choose_on_gpu(only, "int8", "8.7", 10)
    with pytest.raises(InputError, match="no file 'fp16'"):
        choose_on_gpu(only, "fp16", "8.7", 11)


def test_the_choice_on_a_cpu() -> None:
    assert choose_on_cpu(ALL, "auto").variant == "int8_cpu"
    assert choose_on_cpu(ALL, "fp32").variant == "fp32"
    assert choose_on_cpu({"fp32": Path("m")}, "auto").precision == "fp32"
    for files, wanted in ((ALL, "fp16"), ({"fp32": Path("m")}, "int8"), ({"int8_gpu": Path("m")}, "fp32")):
        with pytest.raises(InputError):
            choose_on_cpu(files, wanted)


def test_a_corrupt_onnx_is_named(tmp_path: Path) -> None:
    for content in (b"", b"no model", b"\x08\x07" + b"x" * 100):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(InputError, match=r"m\.onnx cannot be loaded"):
            OnnxRuntimeEngine(tmp_path / "m.onnx", "fp32")
    with pytest.raises(InputError, match="no model file"):
        OnnxRuntimeEngine(tmp_path / "absent.onnx", "fp32")


def test_weights_that_changed_on_the_disk_are_refused(tmp_path: Path) -> None:
    """They load and run, and find nothing or something else."""
    shipped = load_model("rover")
    content = bytearray(shipped.files["fp32"].read_bytes())
    content[len(content) // 2] ^= 0x40
    (tmp_path / "rover.onnx").write_bytes(content)
    (tmp_path / "rover.yaml").write_bytes(shipped.source.read_bytes())
    with pytest.raises(InputError, match=r"rover\.onnx is not the file that .*rover\.yaml describes"):
        make_engine(
            load_model(str(tmp_path / "rover.onnx")),
            engine="onnxruntime",
            precision="fp32",
            threads=1,
            cache_folder=tmp_path,
            workspace_mib=64,
        )


def test_why_onnx_runtime_refuses_a_file_is_not_lost_behind_its_source(tmp_path: Path, tiny_onnx: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: scripts/requirements/train.txt")
    model = onnx.load(str(tiny_onnx))
    model.ir_version = 99
    onnx.save(model, str(tmp_path / "new.onnx"))
    with pytest.raises(InputError, match=r"failed:Unsupported model IR version: 99, max supported IR version"):
        OnnxRuntimeEngine(tmp_path / "new.onnx", "fp32")


@pytest.mark.skipif("tensorrt" in sys.modules, reason="TensorRT is here")
def test_tensorrt_that_is_asked_for_and_not_there_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("TensorRT is installed")
    with pytest.raises(InputError, match="TensorRT cannot be imported"):
        make_engine(
            described({}), engine="tensorrt", precision="auto", threads=1, cache_folder=tmp_path, workspace_mib=64
        )


def test_a_gpu_belongs_to_its_thread() -> None:
    import threading

    device, caught = Device(), []

    def use() -> None:
        try:
            device.check_thread()
        except InputError as error:
            caught.append(str(error))

    other = threading.Thread(target=use)
    other.start()
    other.join()
    assert "another thread" in caught[0]
    device.check_thread()


def write_onnx(path: Path, input_types: list[str], shape: list[int | str]) -> None:
    """A network that returns the greatest value of its first input as FP32; all else is as asked for."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: scripts/requirements/train.txt")
    helper, node = onnx.helper, onnx.helper.make_node
    kinds = [getattr(onnx.TensorProto, name) for name in input_types]
    graph = helper.make_graph(
        [
            node("Cast", ["in0"], ["cast"], to=onnx.TensorProto.FLOAT),
            node("ReduceMax", ["cast"], ["out"], axes=[1, 2, 3], keepdims=0),
        ],
        "any",
        [helper.make_tensor_value_info(f"in{i}", kind, shape) for i, kind in enumerate(kinds)],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), str(path))


@pytest.mark.parametrize("input_types", [["FLOAT16"], ["FLOAT", "FLOAT"]], ids=["half", "two"])
def test_an_onnx_of_other_inputs_is_refused_in_words(tmp_path: Path, input_types: list[str]) -> None:
    write_onnx(tmp_path / "m.onnx", input_types, [1, 3, 8, 8])
    with pytest.raises(InputError, match=r"(?s)m\.onnx takes in0 of .*must take one picture"):
        OnnxRuntimeEngine(tmp_path / "m.onnx", "fp32")


def test_what_fails_while_it_runs_is_said_in_words(tmp_path: Path) -> None:
    write_onnx(tmp_path / "m.onnx", ["FLOAT"], [1, 3, 8, 8])
    with OnnxRuntimeEngine(tmp_path / "m.onnx", "fp32") as engine:
        assert [o.tolist() for o in engine.run(np.full((1, 3, 8, 8), 7, np.float32))] == [[7]]
        with pytest.raises(InputError, match=r"m\.onnx cannot be run"):
            engine.run(np.zeros((1, 3, 8, 9), np.float32))


def test_one_thread_unless_told_otherwise(tiny_onnx: Path) -> None:
    with OnnxRuntimeEngine(tiny_onnx, "fp32") as engine:
        assert engine.title.endswith("CPU, 1 thread")
        assert [o.shape for o in engine.run(np.zeros((1, 3, 64, 96), np.float32))] == [(1, 24, 8)]


def test_opencv_takes_as_many_threads_as_the_engine(tiny_onnx: Path) -> None:
    cv2.setNumThreads(3)
    with make_detector(load(DetectorParams, "detector", model=str(tiny_onnx), engine="onnxruntime")).engine:
        assert cv2.getNumThreads() == 1


def test_a_file_quantized_for_tensorrt_is_summed_exactly_on_a_cpu(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: scripts/requirements/train.txt")
    helper, node = onnx.helper, onnx.helper.make_node

    def constant(name: str, value: np.ndarray) -> object:
        return onnx.numpy_helper.from_array(value, name)

    def rounded(name: str, scale: str) -> list[object]:
        parts = [scale, "zero"]
        quantized = node("QuantizeLinear", [name, *parts], [f"{name}_s8"])
        return [quantized, node("DequantizeLinear", [f"{name}_s8", *parts], [f"{name}_rounded"])]

    graph = helper.make_graph(
        [
            *rounded("image", "one"),
            node("DequantizeLinear", ["weights", "one", "zero"], ["largest"]),
            node("Conv", ["image_rounded", "largest"], ["sum"]),
            *rounded("sum", "thousand"),
        ],
        "largest",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("sum_rounded", onnx.TensorProto.FLOAT, [1, 8, 8, 8])],
        [
            constant("one", np.float32(1)),
            constant("thousand", np.float32(1000)),
            constant("zero", np.int8(0)),
            constant("weights", np.full((8, 4, 1, 1), 127, np.int8)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.save(model, str(tmp_path / "m.onnx"))
    images = np.full((1, 4, 8, 8), 100, np.float32)
    chosen = described({})._replace(files={"int8_gpu": tmp_path / "m.onnx"})
    engine = make_engine(
        chosen, engine="onnxruntime", precision="auto", threads=1, cache_folder=tmp_path, workspace_mib=64
    )
    with engine:
        assert engine.run(images)[0] == pytest.approx(51_000)  # 4 · 127 · 100 = 50,800; 16 bits hold 32,767
