"""What an absent or full GPU says, through both libraries; no GPU is here, so their modules are stood in for."""

import sys
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from nanorover.errors import InputError
from nanorover.perception.engines.cuda import Device, open_device

FULL = "close other programs that use the GPU"


class Gpu:
    """A GPU with room for so many bytes; less than none: not even for a context."""

    def __init__(self, free_bytes: int, present: bool = True) -> None:
        self.free_bytes, self.present = free_bytes, present

    def take(self, size_bytes: int) -> bool:
        self.free_bytes -= size_bytes
        return self.free_bytes >= 0


def pycuda(gpu: Gpu) -> dict[str, ModuleType]:
    """pycuda as its documentation has it: errors are exceptions, a full GPU a kind of its own."""
    driver = ModuleType("pycuda.driver")

    class Error(Exception):
        pass

    class Full(Error):
        pass

    def take(size_bytes: int) -> int:
        if not gpu.take(size_bytes):
            raise Full("cuMemAlloc failed: out of memory")
        return 4096

    def init() -> None:
        if not gpu.present:
            raise Error("cuInit failed: no CUDA-capable device is detected")

    def pagelocked_empty(shape, dtype) -> np.ndarray:
        take(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return np.zeros(shape, dtype)

    device = SimpleNamespace(
        make_context=lambda: take(0), name=lambda: "Tegra X1", compute_capability=lambda: (5, 3)
    )
    contents = {"Error": Error, "MemoryError": Full, "init": init, "Device": lambda _: device, "mem_alloc": take}
    driver.__dict__.update(contents, Stream=SimpleNamespace, pagelocked_empty=pagelocked_empty)
    package = ModuleType("pycuda")
    package.driver = driver
    return {"pycuda": package, "pycuda.driver": driver}


def cuda_python(gpu: Gpu) -> dict[str, ModuleType]:
    """cuda-python: every call returns its status first."""

    class Status(IntEnum):
        cudaSuccess = 0
        cudaErrorMemoryAllocation = 2
        cudaErrorNoDevice = 100

    def take(size_bytes: int) -> tuple[Status, int]:
        return (Status.cudaSuccess if gpu.take(size_bytes) else Status.cudaErrorMemoryAllocation), 4096

    def set_device(_: int) -> tuple[Status]:
        if not gpu.present:
            return (Status.cudaErrorNoDevice,)
        return (take(0)[0],)

    runtime = ModuleType("cuda.bindings.runtime")
    properties = SimpleNamespace(name=b"Orin\0\0", major=8, minor=7)
    runtime.__dict__.update(
        cudaError_t=Status,
        cudaSetDevice=set_device,
        cudaGetDeviceProperties=lambda _: (Status.cudaSuccess, properties),
        cudaStreamCreate=lambda: (Status.cudaSuccess, 7),
        cudaMalloc=take,
        cudaMallocHost=take,
    )
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = runtime
    package = ModuleType("cuda")
    package.bindings = bindings
    # None is what an absent module looks like to import.
    return {"pycuda": None, "cuda": package, "cuda.bindings": bindings, "cuda.bindings.runtime": runtime}


@pytest.fixture(params=[pycuda, cuda_python])
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Opens the device of a GPU through one of the libraries."""

    def through(gpu: Gpu) -> Device:
        for name, module in request.param(gpu).items():
            monkeypatch.setitem(sys.modules, name, module)
        return open_device()

    return through


def test_a_gpu_says_what_it_is(opened) -> None:
    device = opened(Gpu(1 << 20))
    assert (device.name, device.compute_capability) in {("Tegra X1", "5.3"), ("Orin", "8.7")}
    assert device.allocate(1 << 19) == 4096


def test_a_library_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As pycuda does that was built against another driver: to call it absent would send people the wrong way."""
    (tmp_path / "pycuda").mkdir()
    (tmp_path / "pycuda" / "__init__.py").touch()
    (tmp_path / "pycuda" / "driver.py").write_text("raise ImportError('undefined symbol: cuArrayCreate_v2')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"neither .* can be loaded: undefined symbol: cuArrayCreate_v2; .*cuda"):
        open_device()


def test_no_gpu_is_said(opened) -> None:
    with pytest.raises(InputError, match=r"CUDA cannot .*evice") as error:
        opened(Gpu(0, present=False))
    assert "is there an NVIDIA GPU with a driver?" in str(error.value)


def test_a_full_gpu_is_said_wherever_it_shows(opened) -> None:
    with pytest.raises(InputError, match=r"CUDA cannot .* the GPU") as error:
        opened(Gpu(-1))
    assert FULL in str(error.value)
    device = opened(Gpu(1000))
    with pytest.raises(InputError, match="CUDA cannot allocate 2000 bytes") as error:
        device.allocate(2000)
    assert FULL in str(error.value)
    with pytest.raises(InputError, match="CUDA cannot pin 1600 bytes") as error:
        opened(Gpu(1000)).pinned((1, 20, 20), np.float32)
    assert FULL in str(error.value)
