"""What only the embedded store has: a folder, a lock, a process."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bicross.errors import (
    ClosedError,
    ConfigurationError,
    ForkedProcessError,
    StorageFullError,
    StoreError,
    StoreLockedError,
)
from bicross.stores import QdrantStore, shards
from bicross.stores.edge import _registry
from bicross.stores.folder import Folder
from bicross.types import Passage

SOURCE = str(Path(__file__).parents[2] / "src")


def fill(folder, count=3, collection="default", **binding):
    with QdrantStore(path=folder, collection=collection) as store:
        store.bind(dimension=4, **binding)
        store.upsert([Passage(f"t{i}", id=f"p{i}") for i in range(count)], np.eye(4)[np.arange(count) % 4])


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def run(code, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)


@contextlib.contextmanager
def _ordinary_user():
    """Permissions mean nothing to root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


class TestFolder:
    def test_reopen(self, folder):
        fill(folder, fingerprint="3f1c", model="minilm", revision="r")
        with QdrantStore(path=folder) as store:
            info = store.info()
            assert (info.count, info.dimension, info.fingerprint, info.model) == (3, 4, "3f1c", "minilm")
            assert 0 < info.size_bytes < 2**27
            assert store.search([0, 1, 0, 0], 1)[0].passage == Passage("t1", id="p1")

    def test_constructor_and_reads_leave_no_trace(self, folder):
        for path in (folder / "absent", folder):
            store = QdrantStore(path=path)
            assert store.info() is None
            assert store.search([1, 0]) == []
            store.close()
        assert list(folder.iterdir()) == []

    def test_a_folder_of_other_files_is_no_collection(self, folder):
        (folder / "default").mkdir()
        (folder / "default" / "notes.txt").write_text("mine")
        with QdrantStore(path=folder) as store:
            assert store.info() is None
            store.drop()
        assert (folder / "default" / "notes.txt").read_text() == "mine"

    def test_collections_side_by_side(self, folder):
        fill(folder, 2, "news", fingerprint="aa", model="m")
        fill(folder, 3, "a.b-C_9")
        (folder / "other").mkdir()
        with QdrantStore(path=folder, collection="news") as store:
            infos = store.collections()
            assert [(info.name, info.count) for info in infos] == [("a.b-C_9", 3), ("news", 2)]
            store.drop()
            assert [info.name for info in store.collections()] == ["a.b-C_9"]
        assert sorted(path.name for path in folder.iterdir()) == ["a.b-C_9", "other"]

    def test_one_that_cannot_be_opened_hides_no_other(self, folder):
        for name in ("a", "b", "c"):
            fill(folder, 2, name)
        (folder / "b" / "bicross.json").write_text("{")
        with QdrantStore(path=folder, collection="c") as store:
            failed = {}
            infos = store.collections(lambda name, error: failed.update({name: str(error)}))
            assert [info.name for info in infos] == ["a", "c"]
            assert list(failed) == ["b"]
            assert "is not JSON" in failed["b"]
            with pytest.raises(StoreError, match="is not JSON"):
                store.collections()

    @pytest.mark.parametrize(
        "name", ["", ".", "..", "a/b", "../x", "a b", "ä", "x" * 65, "a\x00", "~a", "a\n", None, 3]
    )
    def test_names_that_could_lead_elsewhere_are_refused(self, folder, name):
        with pytest.raises(ConfigurationError, match="collection's name"):
            QdrantStore(path=folder, collection=name)

    def test_sidecar_says_what_the_collection_is(self, folder):
        fill(folder, fingerprint="3f1c", model="minilm")
        assert json.loads((folder / "default" / "bicross.json").read_text()) == {
            "schema_version": 1,
            "dimension": 4,
            "distance": "cosine",
            "fingerprint": "3f1c",
            "model": "minilm",
            "revision": None,
        }

    def test_repr_names_the_place(self, folder):
        assert repr(QdrantStore(path=folder, collection="c")) == f"QdrantStore(path={str(folder)!r}, collection='c')"

    def test_many_openings_leak_nothing(self, folder):
        fill(folder)
        before = _open_files(), threading.active_count()
        for _ in range(20):
            with QdrantStore(path=folder) as store:
                assert store.count() == 3
        assert (_open_files(), threading.active_count()) == before


class TestTemporary:
    @pytest.fixture(autouse=True)
    def _temporary_folder(self, folder, monkeypatch):
        (folder / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))

    def test_memory_is_a_folder_that_goes_away(self):
        with QdrantStore(path=":memory:") as store:
            store.upsert([Passage("t", id="a")], [[1, 0]])
            place = store._transport._shared().folder.path
            assert place.exists()
            assert store.place == ":memory:"
        assert not place.parent.exists()

    def test_two_of_them_are_apart(self):
        with QdrantStore(path=":memory:") as one, QdrantStore(path=":memory:") as other:
            one.upsert([Passage("t", id="a")], [[1, 0]])
            assert other.info() is None

    def test_garbage_collection_closes(self, folder):
        store = QdrantStore(path=":memory:")
        store.upsert([Passage("t", id="a")], [[1, 0]])
        place = store._transport._shared().folder.path
        del store
        gc.collect()
        assert not place.parent.exists()
        assert str(place) not in _registry._shards

    def test_garbage_collection_while_another_store_opens(self, folder, monkeypatch):
        forgotten = QdrantStore(path=":memory:")
        forgotten.upsert([Passage("t", id="a")], [[1, 0]])
        places, made = [forgotten._transport._shared().folder.path], shards.SharedShard

        def collect(*arguments):
            nonlocal forgotten
            del forgotten
            gc.collect()
            monkeypatch.setattr(shards, "SharedShard", made)
            return made(*arguments)

        def open_another():
            with QdrantStore(path=folder) as store:
                store.upsert([Passage("t", id="a")], [[1, 0]])
                places.append(store.count())

        monkeypatch.setattr(shards, "SharedShard", collect)
        # A daemon, so that a lock that is never given back fails this test alone.
        opening = threading.Thread(target=open_another, daemon=True)
        opening.start()
        opening.join(30)
        assert not opening.is_alive()
        assert places[1:] == [1]
        assert str(places[0]) not in _registry._shards

    def test_exit_without_close(self, folder):
        code = """if True:
            import sys
            from bicross.stores import QdrantStore
            from bicross.types import Passage
            store, kept = QdrantStore(path=":memory:"), QdrantStore(path=sys.argv[1])
            for s in (store, kept):
                s.upsert([Passage("t", id="a")], [[1, 0]])
            print(store._transport._shared().folder.path.parent)
        """
        done = run(code, folder)
        assert done.returncode == 0, done.stderr
        assert not Path(done.stdout.strip()).exists()
        with QdrantStore(path=folder) as store:
            assert store.count() == 1


class TestOneProcess:
    def test_stores_share_one_open_shard(self, folder):
        link = folder.parent / f"{folder.name}-link"
        link.symlink_to(folder)
        try:
            one, other = QdrantStore(path=folder), QdrantStore(path=link)
            one.upsert([Passage("t", id="a")], [[1, 0]])
            assert other.get(["a"]) == [Passage("t", id="a")]
            one.close()
            other.upsert([Passage("t", id="b")], [[1, 0]])
            assert other.count() == 2
            other.close()
            assert _registry._shards == {}
        finally:
            link.unlink()

    def test_drop_is_seen_by_the_others(self, folder):
        with QdrantStore(path=folder) as one, QdrantStore(path=folder) as other:
            one.upsert([Passage("t", id="a")], [[1, 0]])
            assert other.count() == 1
            one.drop()
            assert other.info() is None
            assert other.search([1, 0]) == []
            other.upsert([Passage("t", id="b")], [[1, 0, 0]])
            assert list(one.ids()) == ["b"]

    def test_threads_open_and_close_at_once(self, folder):
        def work(i):
            with QdrantStore(path=folder) as store:
                store.upsert([Passage("t", id=f"p{i}")], [[1, i]])
                return store.count()

        with ThreadPoolExecutor(8) as pool:
            assert min(pool.map(work, range(24))) >= 1
        with QdrantStore(path=folder) as store:
            assert store.count() == 24

    def test_a_store_closed_meanwhile_says_so(self, folder):
        store = QdrantStore(path=folder)
        store.upsert([Passage("t", id="a")], [[1, 0]])
        passages = store.scroll()
        store.close()
        with pytest.raises(ClosedError):
            list(passages)


HOLD = """if True:
    import sys, time
    from bicross.stores import QdrantStore
    from bicross.types import Passage
    store = QdrantStore(path=sys.argv[1])
    store.upsert([Passage("t", id="held")], [[1, 0]])
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], env={**os.environ, "PYTHONPATH": SOURCE}, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


class TestTwoProcesses:
    def test_second_process_is_told_who_holds_it_and_takes_over_from_the_dead(self, folder, holder):
        with QdrantStore(path=folder) as store:
            for call in (store.info, store.count, store.drop, lambda: store.upsert([Passage("x")], [[1, 0]])):
                with pytest.raises(StoreLockedError, match=f"process {holder.pid} has .*default"):
                    call()
            with QdrantStore(path=folder, collection="other") as other:
                other.upsert([Passage("x")], [[1, 0]])
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            assert (folder / "default" / "lock").read_text() == str(holder.pid)
            assert list(store.ids()) == ["held"]
            assert (folder / "default" / "lock").read_text() == str(os.getpid())


class TestForkedChild:
    def test_use_is_refused_at_once_and_the_parent_goes_on(self, folder):
        code = """if True:
            import os, sys, time
            from bicross.errors import ForkedProcessError
            from bicross.stores import QdrantStore
            from bicross.types import Passage
            store = QdrantStore(path=sys.argv[1])
            unused = QdrantStore(path=sys.argv[1] + "/elsewhere")
            store.upsert([Passage("t", id="a")], [[1, 0]])
            pid = os.fork()
            if pid == 0:
                begin = time.monotonic()
                for call in (store.count, lambda: store.search([1, 0]), store.drop, store.info):
                    try:
                        call()
                    except ForkedProcessError as error:
                        assert str(os.getppid()) in str(error)
                    else:
                        os._exit(1)
                assert time.monotonic() - begin < 10  # it doesn't wait for a lock
                store.close()
                unused.upsert([Passage("child", id="c")], [[1, 0]])
                assert unused.count() == 1
                sys.exit(7)  # the ordinary way out, destructors included
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            store.upsert([Passage("t", id="b")], [[0, 1]])
            # A living child must not keep the folder locked after its parent closed it.
            pid = os.fork()
            if pid == 0:
                time.sleep(120)
                os._exit(0)
            store.close()
            with QdrantStore(path=sys.argv[1]) as again:
                assert again.count() == 2
            os.kill(pid, 9)
            print("done")
        """
        done = run(code, folder, timeout=60)
        assert done.stdout.endswith("done\n"), done.stderr

    def test_one_that_was_just_forked_does_not_keep_the_folder_locked(self, folder):
        first, second = Folder(Path(folder)), Folder(Path(folder))
        first.lock()
        pid = os.fork()
        if pid == 0:  # as long as it may take to get to the hook that closes the copies
            time.sleep(0.2)
            os._exit(0)
        first.unlock()
        second.lock()
        second.unlock()
        os.waitpid(pid, 0)

    def test_error_in_this_process(self, folder):
        with QdrantStore(path=folder) as store:
            store.count()
            store._process += 1
            with pytest.raises(ForkedProcessError, match="forked child"):
                store.count()


class TestTrouble:
    def test_nearly_full_disk_is_refused_before_writing(self, folder, monkeypatch):
        fill(folder)
        usage = shutil.disk_usage(folder)
        with QdrantStore(path=folder) as store:
            store.count()
            monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=200 * 2**20))
            for call in (
                lambda: store.upsert([Passage("x", id="new")], [[1, 0, 0, 0]]),
                lambda: store.set_payload([Passage("x", id="p0")]),
                lambda: store.delete(["p0"]),
                store.optimize,
            ):
                with pytest.raises(StorageFullError, match="209,715,200"):
                    call()
            assert store.get(["new"]) == []
            assert store.get(["p0"]) == [Passage("t0", id="p0")]
            with QdrantStore(path=folder, collection="second") as second, pytest.raises(StorageFullError):
                second.bind(dimension=2)
            monkeypatch.undo()
            store.upsert([Passage("x", id="new")], [[1, 0, 0, 0]])
            assert store.count() == 4
            second = QdrantStore(path=folder, collection="second")
            second.bind(dimension=2)
            second.close()

    def test_unwritable_folder(self, folder):
        fill(folder)
        paths = [folder, folder / "default"]
        for path in paths:
            path.chmod(0o555)
        (folder / "default" / "lock").chmod(0o444)
        try:
            with _ordinary_user():
                for name, call in (("default", "count"), ("default", "info"), ("new", "bind")):
                    store = QdrantStore(path=folder, collection=name)
                    with pytest.raises(StoreError, match=f"able to write its folder, even to read; .*{name}.*denied"):
                        getattr(store, call)(**({"dimension": 4} if call == "bind" else {}))
        finally:
            for path in paths:
                path.chmod(0o755)

    def test_path_that_is_a_file(self, folder):
        (folder / "file").write_text("x")
        with QdrantStore(path=folder / "file") as store, pytest.raises(StoreError, match="can't be used"):
            store.bind(dimension=2)

    @pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"dimension": 4}', '{"schema_version": 1}', "\xff"])
    def test_damaged_sidecar(self, folder, content):
        fill(folder)
        (folder / "default" / "bicross.json").write_text(content, encoding="latin-1")
        with QdrantStore(path=folder) as store:
            for call in (store.info, store.count, lambda: store.bind(dimension=4)):
                with pytest.raises(StoreError, match=r"default.bicross\.json"):
                    call()
            store.drop()
            assert store.info() is None

    def test_newer_sidecar(self, folder):
        fill(folder)
        sidecar = folder / "default" / "bicross.json"
        sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"schema_version": 2, "more": 1}))
        with QdrantStore(path=folder) as store, pytest.raises(StoreError, match=r"version 2\. Upgrade bicross"):
            store.info()

    def test_sidecar_of_another_collection(self, folder):
        fill(folder)
        sidecar = folder / "default" / "bicross.json"
        sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"dimension": 5}))
        with QdrantStore(path=folder) as store, pytest.raises(StoreError, match="expected vector size 5, but got 4"):
            store.info()

    def test_lost_sidecar_and_lost_shard(self, folder):
        fill(folder)
        sidecar = folder / "default" / "bicross.json"
        sidecar.rename(folder / "kept")
        with QdrantStore(path=folder) as store:
            for call in (store.count, lambda: store.bind(dimension=4)):
                with pytest.raises(StoreError, match=r"is damaged: its bicross\.json is missing"):
                    call()
            (folder / "kept").rename(sidecar)
            assert store.count() == 3
        shutil.rmtree(folder / "default" / "shard")
        with QdrantStore(path=folder) as store, pytest.raises(StoreError, match="its shard is missing"):
            store.count()

    def test_damaged_shard_names_the_folder(self, folder):
        fill(folder)
        (folder / "default" / "shard" / "edge_config.json").write_text("{")
        with QdrantStore(path=folder) as store, pytest.raises(StoreError, match="default' failed to open"):
            store.count()

    def test_a_shard_that_lost_passages_is_refused(self, folder):
        fill(folder, 4)
        shutil.copytree(folder / "default", folder / "backup")
        with QdrantStore(path=folder) as store:
            store.delete(["p0"])
        shutil.rmtree(folder / "backup" / "shard")
        shutil.copytree(folder / "default" / "shard", folder / "backup" / "shard")
        with QdrantStore(path=folder, collection="backup") as store:
            with pytest.raises(StoreError, match="opens with 3 passages, and had 4 when last closed"):
                store.count()
            store.drop()

    def test_killed_between_the_folder_and_the_sidecar(self, folder):
        """Every state that `install` goes through, as a kill would leave it."""
        fill(folder)
        made = folder / "default"
        for state in ("empty", "locked", "marked", "half a shard", "a shard", "all but the marker"):
            home = folder / state.replace(" ", "-")
            home.mkdir()
            if state != "empty":
                (home / "lock").write_text("99999999")
            if state not in ("empty", "locked"):
                (home / "unborn").touch()
            if state == "half a shard":
                shutil.copytree(made / "shard" / "wal", home / "shard" / "wal")
            if state in ("a shard", "all but the marker"):
                shutil.copytree(made / "shard", home / "shard")
            if state == "all but the marker":
                shutil.copy(made / "bicross.json", home)
            with QdrantStore(path=folder, collection=home.name) as store:
                assert store.count() == (3 if state == "all but the marker" else 0)
                store.bind(dimension=4)
                store.upsert([Passage("t", id="p0")], np.ones((1, 4)))
            with QdrantStore(path=folder, collection=home.name) as store:
                assert store.count() == (3 if state == "all but the marker" else 1)
            assert not (home / "unborn").exists()

    def test_leftovers_of_a_killed_drop_go_with_the_next(self, folder):
        fill(folder)
        (folder / "~dropped-0123").mkdir()
        with QdrantStore(path=folder) as store:
            assert [info.name for info in store.collections()] == ["default"]
            store.drop()
        assert list(folder.iterdir()) == []
