"""The detector's runtime on the original Jetson Nano's Python 3.6."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nanorover
from nanorover.perception import RUNTIME

LIBRARY = Path(nanorover.__file__).parent
MODULES = [LIBRARY / "__init__.py", LIBRARY / "errors.py", LIBRARY / "files.py"]
MODULES += [LIBRARY / "perception" / f"{name}.py" for name in RUNTIME]


def test_the_list_of_runtime_modules_is_whole() -> None:
    beyond = {"params", "pictures", "camera", "calibration", "pace", "benchmark"}  # desk and node only
    found = {
        str(p.relative_to(LIBRARY / "perception").with_suffix("")) for p in LIBRARY.glob("perception/**/*.py")
    }
    assert found - beyond == set(RUNTIME)


def test_syntax_and_library_are_those_of_python_3_6() -> None:
    vermin = Path(sys.executable).with_name("vermin")
    if not vermin.exists():
        pytest.skip("vermin is not installed: scripts/requirements/test.txt")
    checked = subprocess.run(
        [vermin, "-t=3.6-", "--violations", "--no-tips", *map(str, MODULES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_nothing_but_numpy_opencv_yaml_and_the_engines_is_imported() -> None:
    import ast

    allowed = {"cv2", "numpy", "yaml", "onnxruntime", "tensorrt", "pycuda", "cuda", "nanorover"}
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                assert top in allowed or top in sys.stdlib_module_names, f"{module} imports {name}"
                if top == "nanorover" and name != "nanorover":
                    assert (LIBRARY.parent / (name.replace(".", "/") + ".py")) in MODULES or (
                        LIBRARY.parent / name.replace(".", "/") / "__init__.py"
                    ) in MODULES, f"{module} imports {name}, which is no runtime module"


def old_pythons() -> list[str]:
    """Interpreters of 3.6 to 3.8 that have numpy, OpenCV and yaml, among them a virtual environment .venv/py36."""
    found = [shutil.which(f"python3.{minor}") for minor in (6, 7, 8)]
    folders = [Path(sys.executable).parent.parent / "py36" / "bin"]
    folders += sorted(Path.home().glob(".pyenv/versions/3.[678].*/bin"))
    found += [str(folder / "python") for folder in folders if (folder / "python").exists()]
    program = ["-c", "import numpy, cv2, yaml"]
    return [
        p for p in found if p and subprocess.run([p, *program], capture_output=True, check=False).returncode == 0
    ]


PROGRAM = """
import sys
import numpy as np
from pathlib import Path
from nanorover.perception.description import load_model
from nanorover.perception.detector import Detector, Limits
from nanorover.perception.draw import draw
from nanorover.perception.engines import Engine, cache, choice, cuda, tensor_rt

class Written(Engine):
    def run(self, tensor):
        output = np.zeros((1, 24, 8), np.float32)
        output[0, 8] = [0, 0.875, np.log(1.5), np.log(2.5), 0.9, 0.1, 0.2, 0.8]
        return [output]

detector = Detector(load_model(sys.argv[1]), Written(), Limits(0.3, 0.5, 100, 10))
found = detector(np.zeros((128, 192, 3), np.uint8))
draw(np.zeros((128, 192, 3), np.uint8), found, detector.description.labels)
print(sys.version_info[:2], found.as_dicts(detector.description.labels))
"""


def test_it_runs_under_an_old_python(tmp_path: Path, tiny_yaml: Path) -> None:
    interpreters = old_pythons()
    if not interpreters:
        pytest.skip("no Python 3.6 to 3.8 with numpy, OpenCV and yaml is installed")
    (tmp_path / "run.py").write_text(PROGRAM)
    for interpreter in (interpreters[0], sys.executable):
        done = subprocess.run(
            [interpreter, "-B", str(tmp_path / "run.py"), str(tiny_yaml)],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(LIBRARY.parent)},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "'label': 'label2', 'score': 0.72, 'box_xyxy': [40.0, 20.0, 88.0, 100.0]" in done.stdout
