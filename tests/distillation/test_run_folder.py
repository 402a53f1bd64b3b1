"""A run's folder: what is done is not done again, and what has changed is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bicross.distillation.run_folder import RunFolder
from bicross.errors import ConfigurationError


class Work:
    """A stage that writes a file and counts how often it was done."""

    def __init__(self, folder: Path, text: str = "made") -> None:
        self.folder, self.text, self.times = folder, text, 0

    def __call__(self) -> dict[str, int]:
        self.times += 1
        (self.folder / "out.txt").write_text(self.text)
        return {"times": self.times}


def run(folder: Path, work: Work, **inputs: object) -> RunFolder:
    with RunFolder(folder, {"about": "toys"}) as one:
        one.stage("work", inputs, work, outputs=["out.txt"], state=["state"])
    return one


def test_a_stage_is_done_once_and_what_it_found_is_kept(tmp_path: Path) -> None:
    work = Work(tmp_path)
    assert run(tmp_path, work, a=1).done == ["work"]
    again = run(tmp_path, work, a=1)
    assert (again.done, again.skipped, work.times) == ([], ["work"], 1)
    manifest = json.loads((tmp_path / "run.json").read_text())
    assert manifest["recipe"] == {"about": "toys"}
    assert manifest["stages"]["work"]["found"] == {"times": 1}
    assert {"torch", "peft", "datasets"} <= manifest["versions"].keys()
    assert manifest["format"] == 1


def test_a_stage_keeps_the_versions_that_did_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stages(versions: dict[str, str], *names: str) -> dict[str, dict[str, str]]:
        monkeypatch.setattr("bicross.distillation.run_folder._versions", lambda: versions)
        with RunFolder(tmp_path, {}) as one:
            for name in names:
                one.stage(name, {}, dict)
        manifest = json.loads((tmp_path / "run.json").read_text())
        assert manifest["versions"] == versions
        return {name: entry["versions"] for name, entry in manifest["stages"].items()}

    assert stages({"torch": "1"}, "mine") == {"mine": {"torch": "1"}}
    assert stages({"torch": "2"}, "mine", "train") == {"mine": {"torch": "1"}, "train": {"torch": "2"}}


@pytest.mark.parametrize("change", ["input", "lost", "edited"])
def test_a_stage_is_done_again_when_something_changed(tmp_path: Path, change: str) -> None:
    work = Work(tmp_path)
    before = run(tmp_path, work, a=1).hash_of("work")
    if change == "lost":
        (tmp_path / "out.txt").unlink()
    if change == "edited":
        (tmp_path / "out.txt").write_text("by hand")
    after = run(tmp_path, work, a=2 if change == "input" else 1)
    assert work.times == 2
    assert (after.hash_of("work") == before) == (change != "input")


def test_a_killed_stage_keeps_its_state_and_loses_its_outputs(tmp_path: Path) -> None:
    def dies() -> None:
        (tmp_path / "state").mkdir(exist_ok=True)
        (tmp_path / "out.txt").write_text("half")
        raise KeyboardInterrupt

    def attempt(a: int) -> tuple[bool, bool]:
        seen: list[bool] = []

        def looks() -> None:
            seen.extend([(tmp_path / "state").exists(), (tmp_path / "out.txt").exists()])
            dies()

        with RunFolder(tmp_path, {}) as one, pytest.raises(KeyboardInterrupt):
            one.stage("work", {"a": a}, looks, outputs=["out.txt"], state=["state"])
        return seen[0], seen[1]

    assert attempt(1) == (False, False)
    assert attempt(1) == (True, False)  # it goes on from its state
    assert attempt(2) == (False, False)  # other inputs: the state is of no use


def test_a_folder_of_another_format_or_without_a_manifest_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", Work(tmp_path))
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**manifest, "format": 7}))
    with pytest.raises(ConfigurationError, match="has format 7"):
        RunFolder(tmp_path / "run", {})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(ConfigurationError, match=r"'thesis\.tex' and no run\.json"):
        RunFolder(tmp_path / "other", {})


def test_two_processes_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {}), pytest.raises(ConfigurationError, match="another one is in"):
        RunFolder(tmp_path, {})
    RunFolder(tmp_path, {}).close()


def test_folders_are_outputs_too(tmp_path: Path) -> None:
    def make() -> None:
        (tmp_path / "model" / "sub").mkdir(parents=True)
        (tmp_path / "model" / "sub" / "w").write_text("1")

    def stage() -> list[str]:
        with RunFolder(tmp_path, {}) as one:
            one.stage("train", {}, make, outputs=["model"])
        return one.done

    assert stage() == ["train"]
    assert stage() == []
    (tmp_path / "model" / "sub" / "w").write_text("2")
    assert stage() == ["train"]
