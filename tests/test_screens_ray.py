"""A screen on a Ray cluster gives what this machine gives, although a node dies in the middle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_screens_dataset import changed, one_process, rows, run, write

__all__ = ["one_process"]  # a fixture that every test here uses

CLUSTER = """
import json, os, sys, threading, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from test_screens_dataset import EXCLUDE
from trimtab import engine
from trimtab.screens.dataset import screen_dataset
from trimtab.screens.settings import Settings

data, out = sys.argv[1], Path(sys.argv[2])  # relative to a folder in which the cluster does not run
engine.load_daft()  # switches telemetry off before Ray is there
from ray.cluster_utils import Cluster
import ray
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
engine.set_engine("ray")
os.chdir(sys.argv[3])
killed = []

def parts():
    return len(list((out / ".trimtab-parts" / "rows").glob("*.parquet")))

def watch():
    while parts() < 3:
        time.sleep(0.02)
    killed.append(parts())
    cluster.remove_node(nodes[0], allow_graceful=False)

threading.Thread(target=watch, daemon=True).start()
done = screen_dataset(data, out, Settings(), exclude=EXCLUDE)
print(json.dumps({"killed": killed, "rows": done.rows}))
ray.shutdown()
cluster.shutdown()
"""
FILES = 16


@pytest.mark.slow
def test_a_cluster_gives_what_this_machine_gives(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    data = tmp_path / "data"
    data.mkdir()
    for i in range(FILES):
        own = rows(600, start=600 * i)
        write(data / f"{i:02}.jsonl", [*own, own[0], *rows(1, start=7), changed(own[1], 2), "{broken"])
    here = run(data, tmp_path / "here")
    # A process of its own: the engine is chosen once, and Ray's warnings are not ours.
    ended = subprocess.run(
        [sys.executable, "-c", CLUSTER, "data", "ray", str(tmp_path)],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["rows"] == here.rows == FILES * 604
    for name in ("kept.parquet", "excluded.parquet", "findings.jsonl"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert told["killed"][0] < FILES, "in the middle"
