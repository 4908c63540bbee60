"""After warming up nothing is left for the compiler: the first loop search must not stall a scan for seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RECORDING = Path(__file__).resolve().parents[1] / "recordings" / "apartment.mcap"

# Kernels are compiled into an empty folder; every file that appears there after warming up is one forgotten.
PROGRAM = """
import sys
from pathlib import Path
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.replay.logs import open_log
from nanorover.slam.localizer import Localizer
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import slam_params

mapper = Mapper(slam_params())
mapper.warm_up()
cache = Path(sys.argv[2])
compiled = {path.name for path in cache.rglob("*.nbc")}
for record in open_log(sys.argv[1]):
    if isinstance(record, Odometry):
        mapper.add_odometry(record)
    elif isinstance(record, LaserScan):
        mapper.add_scan(record)
mapper.trajectory()
mapper.grid()
assert mapper.health().get("loop searches", 0) > 0, mapper.health()
localizer = Localizer(slam_params(), mapper.grid())
for record in open_log(sys.argv[1]):
    if isinstance(record, LaserScan):
        localizer.add_scan(record)
        if localizer.localized:
            break
assert localizer.localized
late = {path.name for path in cache.rglob("*.nbc")} - compiled
print(len(compiled), *sorted(late))
"""


@pytest.mark.slow
def test_nothing_is_compiled_after_warming_up(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(RECORDING), str(tmp_path)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    compiled, *late = done.stdout.split()
    assert int(compiled) > 10
    assert late == []
