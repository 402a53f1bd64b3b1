"""The rule behind "auto", and the pairs of backend and precision that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from bicross.encoding import hardware, loading, towers
from bicross.encoding.backends import choosing
from bicross.encoding.backends.choosing import Choice, choose
from bicross.encoding.loading import LoadOptions
from bicross.encoding.specs import TowerSpec, TransformerSpec
from bicross.errors import CheckpointError, ConfigurationError, MissingExtraError

ZEN4 = {"avx2", "avx512_bf16", "avx512_vnni"}
HIDDEN_AMX = {*ZEN4, "intel"}
"""An Intel CPU whose virtual machine doesn't show AMX: bfloat16 takes longer than float32 there."""
AMX = {*HIDDEN_AMX, "amx_bf16"}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend a CPU, and what is installed on it."""
    monkeypatch.delenv(choosing.BACKEND_VARIABLE, raising=False)
    monkeypatch.setattr(hardware, "is_x86", lambda: True)
    monkeypatch.setattr(hardware, "may_have_accelerator", lambda: False)

    def pretend(flags: set[str], *extras: str) -> None:
        monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset(flags))
        monkeypatch.setattr(hardware, "is_intel", lambda: "intel" in flags)
        monkeypatch.setattr(choosing, "installed", lambda name: name == "torch" or name in extras)

    return pretend


@pytest.mark.parametrize(
    ("flags", "extras", "precision", "expected"),
    [
        ({"avx2"}, (), "float32", ["torch-float32"]),
        ({"avx2"}, ("onnx",), "float32", ["onnx-float32", "torch-float32"]),
        ({"avx2"}, ("openvino",), "float32", ["openvino-float32", "torch-float32"]),
        ({"avx2"}, ("onnx", "openvino"), "float32", ["onnx-float32", "openvino-float32", "torch-float32"]),
        ({"avx2"}, ("onnx", "openvino"), "auto", ["onnx-float32", "openvino-float32", "torch-float32"]),
        (ZEN4, ("onnx", "openvino"), "float32", ["openvino-float32", "onnx-float32", "torch-float32"]),
        ({"avx2"}, ("onnx", "openvino"), "int8", ["onnx-int8"]),
        (ZEN4, ("onnx", "openvino"), "int8", ["openvino-int8"]),
        (ZEN4, ("onnx",), "int8", ["onnx-int8"]),
        (ZEN4, ("onnx", "openvino"), "auto", ["openvino-bfloat16", "torch-bfloat16"]),
        (ZEN4, ("onnx", "openvino"), "bfloat16", ["openvino-bfloat16", "torch-bfloat16"]),
        (ZEN4, ("onnx",), "bfloat16", ["torch-bfloat16"]),
        (ZEN4, ("onnx", "openvino"), "float16", ["torch-float16"]),
        (HIDDEN_AMX, ("onnx", "openvino"), "auto", ["openvino-float32", "onnx-float32", "torch-float32"]),
        (HIDDEN_AMX, (), "auto", ["torch-float32"]),
        (HIDDEN_AMX, ("onnx", "openvino"), "bfloat16", ["openvino-bfloat16", "torch-bfloat16"]),
        (AMX, ("onnx", "openvino"), "auto", ["openvino-bfloat16", "torch-bfloat16"]),
        ({"sse2"}, ("onnx", "openvino"), "float32", ["torch-float32"]),
    ],
)
def test_auto_is_the_table(machine, flags, extras, precision, expected) -> None:
    machine(flags, *extras)
    device, choices = choose("auto", precision, "auto", {})
    assert (device, [choice.name for choice in choices]) == ("cpu", expected)


@pytest.mark.parametrize(("flags", "first"), [({"avx2"}, "onnx"), (ZEN4, "openvino")])
def test_graphs_without_weights_are_tried_in_the_table_s_order(machine, flags, first) -> None:
    machine(flags, "onnx", "openvino")
    for precision in ("float32", "int8"):
        found = [choice.backend for choice in choosing.without_weights("auto", precision)]
        assert found == [first, *({"onnx", "openvino"} - {first})]


def test_what_only_torch_can_do_is_torch_s(machine) -> None:
    machine(ZEN4, "onnx", "openvino")
    assert choose("auto", "float32", "cpu", {"attn_implementation": "eager"})[1] == (Choice("torch", "float32"),)


@pytest.mark.parametrize(
    ("backend", "precision", "named"),
    [("onnx", "bfloat16", "'torch' or 'openvino'"), ("torch", "int8", "'onnx' or 'openvino'")],
)
def test_a_pair_that_does_not_exist_names_those_that_do(machine, backend: str, precision: str, named: str) -> None:
    machine(ZEN4, "onnx", "openvino")
    with pytest.raises(ConfigurationError, match=f"Use backend={named}"):
        choose(backend, precision, "auto", {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tensorrt", "float32", "cpu", {}), "backend must be one of"),
        (("auto", "int4", "cpu", {}), "precision must be one of"),
        (("onnx", "float32", "cuda", {}), "computes on the CPU, got device='cuda'"),
        (("openvino", "float32", "cpu", {"device_map": "auto"}), "'device_map' is an option of the torch backend"),
    ],
)
def test_what_makes_no_sense_is_refused(machine, arguments, message: str) -> None:
    machine(ZEN4, "onnx", "openvino")
    with pytest.raises(ConfigurationError, match=message):
        choose(*arguments)


def test_old_cpus_and_missing_hardware_are_refused(machine) -> None:
    machine({"sse2"}, "onnx")
    for backend, precision in (("onnx", "float32"), ("auto", "int8")):
        with pytest.raises(ConfigurationError, match=r"needs a CPU with AVX2.* precision='float32'"):
            choose(backend, precision, "cpu", {})
    machine({"avx2"}, "openvino")
    with pytest.raises(ConfigurationError, match="where the CPU has it"):
        choose("openvino", "bfloat16", "cpu", {})


@pytest.mark.parametrize(("backend", "precision"), [("onnx", "float32"), ("openvino", "auto"), ("auto", "int8")])
def test_a_missing_backend_is_one_line_with_the_extra(machine, backend: str, precision: str) -> None:
    machine(ZEN4)
    with pytest.raises(MissingExtraError, match=r"pip install 'bicross\[(onnx|openvino)\]'") as error:
        choose(backend, precision, "auto", {})
    assert "\n" not in str(error.value)


def test_the_environment_says_what_auto_is(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(ZEN4, "onnx", "openvino")
    monkeypatch.setenv(choosing.BACKEND_VARIABLE, "onnx")
    assert choose("auto", "float32", "auto", {})[1] == (Choice("onnx", "float32"),)
    monkeypatch.setenv(choosing.BACKEND_VARIABLE, "numpy")
    with pytest.raises(ConfigurationError, match="BICROSS_BACKEND must be one of"):
        choose("auto", "float32", "auto", {})


def test_more_threads_than_cores_are_refused(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(ZEN4, "onnx")
    monkeypatch.setattr(loading, "usable_cores", lambda: 3)
    asked = LoadOptions.check("cpu", "float32", "auto", {"threads": 2}, False)
    assert asked.graph_threads() == 2
    assert LoadOptions.check("cpu", "float32", "auto", None, False).graph_threads() == 3
    for wrong in (4, 0, True, "2"):
        with pytest.raises(ConfigurationError, match="from 1 to 3, the cores that this process may use, got"):
            LoadOptions.check("cpu", "float32", "auto", {"threads": wrong}, False)
    monkeypatch.setattr(loading, "usable_cores", lambda: 1)
    assert asked.graph_threads() == 1  # in a worker, which has a part of the cores


def test_torch_s_threads_are_the_process_s(machine, caplog: pytest.LogCaptureFixture) -> None:
    machine(ZEN4)
    caplog.set_level("INFO", "bicross")
    assert LoadOptions.check("cpu", "float32", "auto", {"threads": 1}, False).choices[0].backend == "torch"
    assert "threads=1 has no effect" in caplog.text
    with pytest.raises(ConfigurationError, match="Set OMP_NUM_THREADS, or call"):
        LoadOptions.check("cpu", "float32", "torch", {"threads": 1}, False)


def test_what_auto_comes_to_is_logged(machine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "bicross")
    for flags, backend, said in (
        (ZEN4, "auto", "bfloat16 on this CPU, computed by openvino"),
        (HIDDEN_AMX, "auto", "float32 on this CPU, computed by openvino"),
        (ZEN4, "openvino", "bfloat16 on this CPU, computed by openvino"),
        (ZEN4, "torch", "bfloat16 on cpu, computed by torch"),
    ):
        machine(flags, "onnx", "openvino")
        caplog.clear()
        choose(backend, "auto", "auto", {})
        assert caplog.messages == [f"precision 'auto' is {said}"]
        choose(backend, "float32", "auto", {})
        assert len(caplog.messages) == 1


def test_a_folder_of_graphs_is_read_in_the_precision_that_is_faster_here(machine) -> None:
    for flags, precisions in ((ZEN4, ["bfloat16", "float32"]), (HIDDEN_AMX, ["float32", "bfloat16"])):
        machine(flags, "openvino")
        assert [each.precision for each in choosing.without_weights("auto", "auto")] == precisions
    machine({"avx2"}, "openvino")
    assert choosing.without_weights("auto", "auto") == (Choice("openvino", "float32"),)


def test_the_kernel_s_words_are_read(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    core = "processor\t: {}\nvendor_id\t: GenuineIntel\nflags\t\t: fpu avx2 avx512_bf16\nvmx flags\t: vnmi\n\n"
    path.write_text(core.format(0) + core.format(1))
    assert hardware._cpu_info("vendor_id", path=path).strip() == "GenuineIntel"
    assert hardware._cpu_info("flags", "Features", path=path).split() == ["fpu", "avx2", "avx512_bf16"]
    assert hardware._cpu_info("flags", path=tmp_path / "none") == ""


@pytest.mark.parametrize(("text", "cores"), [("max 100000", None), ("150000 100000", 2), ("50000 100000", 1)])
def test_a_container_s_quota_counts(tmp_path: Path, text: str, cores: int | None) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(text)
    assert hardware.quota(path) == (cores or hardware.sys.maxsize)
    assert hardware.quota(tmp_path / "none") == hardware.sys.maxsize


@pytest.mark.parametrize(
    ("extras", "backend", "precision", "error", "message"),
    [
        (("onnx",), "torch", "float32", CheckpointError, r"graphs \['onnx-int8'\] .* torch-float32 needs the weights"),
        (("onnx",), "auto", "float16", CheckpointError, "torch-float16 needs the weights"),
        ((), "auto", "float32", MissingExtraError, r"isn't installed: pip install 'bicross\[onnx\]'"),
    ],
)
def test_graphs_in_place_of_weights_are_loaded_by_no_other_than_asked_for(
    machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, extras, backend, precision, error, message
) -> None:
    machine(ZEN4, *extras)
    monkeypatch.setattr(towers, "installed", choosing.installed)
    folder = tmp_path / "graphs" / "onnx-int8"
    folder.mkdir(parents=True)
    (folder / "graph.json").write_text('{"encoder": "1"}')
    spec = TowerSpec(TransformerSpec(tmp_path))
    with pytest.raises(error, match=message):
        towers.possible_choices("bi-encoder", spec, LoadOptions.check("cpu", precision, backend, None, False))
