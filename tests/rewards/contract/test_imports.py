"""Which files code consists of, without running any of it."""

import pytest

from doubleback.rewards.contract.imports import code_files


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write files below a folder that modules are imported from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\nraise RuntimeError('this is not to be run')\n")
        return lambda place: [str(file.relative_to(tmp_path)) for file in code_files(place)]

    return write


@pytest.mark.parametrize(
    ("line", "also"),
    [
        ("import b", ["b.py"]),
        ("import json, b as other", ["b.py"]),
        ("from b import anything", ["b.py"]),
        ("from p import c", ["p/c.py"]),
        ("import p.c", ["p/c.py"]),
        ("def f():\n    from p.c import deep", ["p/c.py"]),
        ("try:\n    import nowhere\nexcept ImportError:\n    import b", ["b.py"]),
        ("import d", ["d.py", "b.py", "a.py"]),
        ("x = 'import b'  # import b", []),
        ("import broken", ["broken.py"]),
    ],
)
def test_what_a_file_imports_of_its_folder(written, line, also):
    files = written(a=line, b="", p__c="", d="import b, a", broken="def (")
    assert sorted(files("a.py")) == sorted({"a.py", *also})


def test_a_module_has_its_packages_and_what_lies_beside_them(written, tmp_path):
    files = written(
        q__one="from . import two\nfrom .inner.three import x\nimport b", q__two="", q__inner__three="", b=""
    )
    (tmp_path / "q" / "__init__.py").write_text("")
    (tmp_path / "q" / "inner" / "__init__.py").write_text("from ..four import y")
    (tmp_path / "q" / "four.py").write_text("")
    own = ["q/one.py", "q/__init__.py"]
    assert files("q.one")[:2] == own
    assert sorted(files("q.one")[2:]) == ["b.py", "q/four.py", "q/inner/__init__.py", "q/inner/three.py", "q/two.py"]


def test_a_package_without_an_init_is_one(written):
    assert written(space__one="from space import two", space__two="")("space.one") == ["space/one.py", "space/two.py"]


def test_of_what_is_installed_its_own_file_is_enough():
    assert [file.name for file in code_files("yaml.loader")] == ["loader.py"]
    assert [file.name for file in code_files("json.decoder")] == ["decoder.py"]
    assert (
        code_files("nowhere.at_all") == code_files("nowhere.py") == code_files("no module") == code_files("sys") == []
    )
