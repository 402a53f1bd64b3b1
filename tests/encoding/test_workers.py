from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import worker_tasks
from bicross import BiEncoder
from bicross.encoding import workers
from bicross.encoding.workers import WorkerPool, check_devices, share_in
from bicross.errors import ConfigurationError, WorkerError


@pytest.fixture(scope="module")
def pool():
    return WorkerPool(["cpu", "cpu"])


def test_results_come_in_the_tasks_order(pool: WorkerPool) -> None:
    assert list(pool.map(worker_tasks.double, ((number,) for number in range(50)))) == list(range(0, 100, 2))
    assert list(pool.map(worker_tasks.double, [])) == []


def test_each_worker_has_its_device_and_its_part_of_the_cores() -> None:
    found = set(WorkerPool(["cpu", "cpu"]).map(worker_tasks.where, ((number,) for number in range(8))))
    assert len(found) == 2
    share = max(len(os.sched_getaffinity(0)) // 2, 1)
    assert {(device, threads) for _, device, threads, _ in found} == {("cpu", str(share))}
    assert {cores for *_, cores in found} == {share}


def test_workers_share_what_a_container_s_quota_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "own_cores", lambda: list(range(8)))
    for granted, shares in ((8, [3, 3, 2]), (4, [2, 1, 1]), (1, [1, 1, 1])):
        monkeypatch.setattr(workers, "usable_cores", lambda granted=granted: granted)
        found = workers._shares(3)
        assert [len(cores) for cores in found] == shares
        assert len({core for cores in found for core in cores}) == granted


def test_the_part_of_a_killed_worker_is_done_again(pool: WorkerPool, tmp_path: Path) -> None:
    tasks = [(number, str(tmp_path)) for number in range(12)]
    assert list(pool.map(worker_tasks.die_once, tasks)) == [2 * number for number in range(12)]
    assert sorted(int(flag.name) for flag in tmp_path.iterdir()) == [2, 7]  # two kills landed


def test_what_kills_every_worker_is_told_and_the_others_live_on(pool: WorkerPool) -> None:
    with pytest.raises(WorkerError, match="ended 3 times"):
        list(pool.map(worker_tasks.die, [(0,)]))
    assert list(pool.map(worker_tasks.double, [(1,)])) == [2]


def test_an_error_of_a_task_is_its_callers(pool: WorkerPool) -> None:
    with pytest.raises(ValueError, match="three"):
        list(pool.map(worker_tasks.fail, ((number,) for number in range(20))))
    assert list(pool.map(worker_tasks.double, [(1,)])) == [2]


def test_workers_end_with_the_last_share() -> None:
    first, second = share_in(("cpu", "cpu")), share_in(("cpu", "cpu"))
    assert first is not None
    assert second is not None
    assert first.get() is second.get()
    assert share_in(()) is None
    list(first.get().map(worker_tasks.double, [(1,)]))
    (pid,) = first.get().pids()
    first.close()
    os.kill(pid, 0)
    second.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}/stat").exists()


SCRIPT = """
import worker_tasks
from bicross.encoding.workers import WorkerPool
if __name__ == "__main__":
    list(WorkerPool(["cpu"]).map(worker_tasks.pid_then_wait, [(60.0, {file!r})]))
"""


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script, file = tmp_path / "script.py", tmp_path / "pid"
    script.write_text(SCRIPT.format(file=str(file)))
    parent = subprocess.Popen([sys.executable, str(script)], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    deadline = time.monotonic() + 30
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pid = int(file.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("device", "workers"), [("cpu", 0), ("cpu", True), (["cpu"], 2), ([], None), (["cpu", 1], None), ("cpu", "2")]
)
def test_workers_that_make_no_sense_are_refused(bi_folder: Path, device: object, workers: object) -> None:
    with pytest.raises(ConfigurationError, match=r"workers|device"):
        BiEncoder.load(bi_folder, device=device, workers=workers)  # type: ignore[arg-type]
    assert check_devices(["cpu"], None) == ("cpu", ())
