"""A GPU's memory and one stream, through pycuda or cuda-python, whichever is installed.

The device belongs to the thread that opens it: a CUDA context used from another thread fails late and
unreadably, so that is refused here.
"""

import ctypes
import threading
from typing import Any, Tuple

import numpy as np

from nanorover.errors import InputError

OUT_OF_MEMORY_HINT = "close other programs that use the GPU, or use a smaller input or model"
NO_GPU_HINT = "is there an NVIDIA GPU with a driver?"


class Device:
    """One GPU: buffers, copies on one stream, and what it can do."""

    compute_capability = ""
    name = ""

    def __init__(self) -> None:
        self.thread = threading.get_ident()

    def check_thread(self) -> None:
        """InputError when called from another thread than the one that opened the device."""
        if threading.get_ident() != self.thread:
            raise InputError(
                "the GPU engine was made in another thread", "make and run an engine in one and the same thread"
            )

    @property
    def stream(self) -> int:
        """The handle of the one stream."""
        raise NotImplementedError

    def pinned(self, shape: Tuple[int, ...], dtype: Any) -> np.ndarray:
        """Host memory that the GPU can copy from and to directly."""
        raise NotImplementedError

    def allocate(self, size_bytes: int) -> int:
        """The address of GPU memory."""
        raise NotImplementedError

    def copy_in(self, address: int, host: np.ndarray) -> None:
        """Queue a copy from pinned host memory."""
        raise NotImplementedError

    def copy_out(self, host: np.ndarray, address: int) -> None:
        """Queue a copy to pinned host memory."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until the stream is done."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back."""
        raise NotImplementedError


class PycudaDevice(Device):
    """Through pycuda, which every JetPack can build.

    One at a time in a thread: a second one's context hides the first's until it is closed.
    """

    def __init__(self) -> None:
        super().__init__()
        import pycuda.driver as cuda

        self.cuda = cuda
        self._call("use the GPU", cuda.init)
        device = self._call("use the GPU", cuda.Device, 0)
        self.context = self._call("open the GPU", device.make_context)
        self.name = device.name()
        self.compute_capability = "%d.%d" % device.compute_capability()
        self.queue = self._call("make a stream", cuda.Stream)
        self.buffers: Any = []

    def _call(self, what: str, function: Any, *given: Any) -> Any:
        """The value of a CUDA call; InputError that names the step and CUDA's own word when it failed."""
        try:
            return function(*given)
        except self.cuda.Error as error:
            hint = OUT_OF_MEMORY_HINT if isinstance(error, self.cuda.MemoryError) else NO_GPU_HINT
            raise InputError("CUDA cannot %s: %s" % (what, error), hint)

    @property
    def stream(self) -> int:
        return int(self.queue.handle)

    def pinned(self, shape: Tuple[int, ...], dtype: Any) -> np.ndarray:
        size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        array: np.ndarray = self._call("pin %d bytes" % size_bytes, self.cuda.pagelocked_empty, shape, dtype)
        return array

    def allocate(self, size_bytes: int) -> int:
        buffer = self._call("allocate %d bytes" % size_bytes, self.cuda.mem_alloc, size_bytes)
        self.buffers.append(buffer)
        return int(buffer)

    def copy_in(self, address: int, host: np.ndarray) -> None:
        self._call("copy to the GPU", self.cuda.memcpy_htod_async, address, host, self.queue)

    def copy_out(self, host: np.ndarray, address: int) -> None:
        self._call("copy from the GPU", self.cuda.memcpy_dtoh_async, host, address, self.queue)

    def synchronize(self) -> None:
        self._call("finish its work", self.queue.synchronize)

    def close(self) -> None:
        for buffer in self.buffers:
            buffer.free()
        self.buffers = []
        self.context.pop()
        self.context.detach()


class CudaPythonDevice(Device):
    """Through NVIDIA's cuda-python, which has wheels for desktops and newer JetPacks."""

    def __init__(self) -> None:
        super().__init__()
        try:
            from cuda.bindings import runtime
        except ImportError:
            from cuda import cudart as runtime
        self.runtime = runtime
        self._call("open the GPU", runtime.cudaSetDevice(0))
        properties = self._call("ask the GPU what it is", runtime.cudaGetDeviceProperties(0))
        name = properties.name
        self.name = name.decode().rstrip("\0") if isinstance(name, bytes) else str(name)
        self.compute_capability = "%d.%d" % (properties.major, properties.minor)
        self.queue = self._call("make a stream", runtime.cudaStreamCreate())
        self.buffers: Any = []
        self.host_buffers: Any = []

    def _call(self, what: str, result: Tuple[Any, ...]) -> Any:
        """The value of a CUDA call; InputError that names the step and CUDA's own word when it failed."""
        status = result[0]
        if int(status) != 0:
            out_of_memory = status == self.runtime.cudaError_t.cudaErrorMemoryAllocation
            raise InputError(
                "CUDA cannot %s: %s" % (what, getattr(status, "name", status)),
                OUT_OF_MEMORY_HINT if out_of_memory else NO_GPU_HINT,
            )
        return result[1] if len(result) > 1 else None

    @property
    def stream(self) -> int:
        return int(self.queue)

    def pinned(self, shape: Tuple[int, ...], dtype: Any) -> np.ndarray:
        size_bytes = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        address = int(self._call("pin %d bytes" % size_bytes, self.runtime.cudaMallocHost(size_bytes)))
        self.host_buffers.append(address)
        raw = (ctypes.c_uint8 * size_bytes).from_address(address)
        return np.frombuffer(raw, dtype, int(np.prod(shape))).reshape(shape)

    def allocate(self, size_bytes: int) -> int:
        address = int(self._call("allocate %d bytes" % size_bytes, self.runtime.cudaMalloc(size_bytes)))
        self.buffers.append(address)
        return address

    def copy_in(self, address: int, host: np.ndarray) -> None:
        kind = self.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        queued = self.runtime.cudaMemcpyAsync(address, host.ctypes.data, host.nbytes, kind, self.queue)
        self._call("copy to the GPU", queued)

    def copy_out(self, host: np.ndarray, address: int) -> None:
        kind = self.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        queued = self.runtime.cudaMemcpyAsync(host.ctypes.data, address, host.nbytes, kind, self.queue)
        self._call("copy from the GPU", queued)

    def synchronize(self) -> None:
        self._call("finish its work", self.runtime.cudaStreamSynchronize(self.queue))

    def close(self) -> None:
        for address in self.buffers:
            self._call("free memory", self.runtime.cudaFree(address))
        for address in self.host_buffers:
            self._call("free pinned memory", self.runtime.cudaFreeHost(address))
        self.buffers, self.host_buffers = [], []
        self._call("close its stream", self.runtime.cudaStreamDestroy(self.queue))


def open_device() -> Device:
    """The first GPU through whichever library is there; InputError when neither loads or it has no GPU."""
    refusals = []
    for library in (PycudaDevice, CudaPythonDevice):
        try:
            return library()
        except ImportError as error:
            refusals.append(str(error))
    raise InputError(
        "neither pycuda nor cuda-python can be loaded: " + "; ".join(refusals),
        "pip install pycuda (on a Jetson) or cuda-python",
    )
