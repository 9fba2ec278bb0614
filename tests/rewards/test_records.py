"""What a file of ours lacks is named; nothing else of an object changes."""

import pytest

from doubleback.rewards.records import Record, read_record
from doubleback.rewards.sample_lines import with_columns
from doubleback.rewards.types import ConfigError, Problem


def test_a_key_that_is_missing_is_named_with_the_file_however_deep(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text('{"pass_at_k": {"1": {"value": 0.5}}}', encoding="utf-8")
    found = read_record(path, "evaluate again")
    assert found["pass_at_k"]["1"]["value"] == 0.5
    assert found.get("measures") is None
    assert found == {"pass_at_k": {"1": {"value": 0.5}}}
    for look, key in ((lambda: found["measures"], "measures"), (lambda: found["pass_at_k"]["1"]["low"], "low")):
        with pytest.raises(ConfigError, match=rf"summary.json has no '{key}': it was damaged, or .*; evaluate again$"):
            look()


def test_a_line_keeps_its_place_beside_the_columns_of_its_problem():
    line = Record({"problem": "a"}, "samples.jsonl:3")
    (joined,) = with_columns([line], [Problem("a", "?", {"answer": "1"})])
    assert joined == {"answer": "1", "prompt": "?", "problem": "a"}
    with pytest.raises(ConfigError, match=r"samples.jsonl:3 has no 'verdict'"):
        _ = joined["verdict"]


@pytest.mark.parametrize(
    ("text", "reason"), [("[1]", "holds no object, but list"), ("{", "cannot be read"), (None, "cannot be read")]
)
def test_what_is_no_object_is_named(tmp_path, text, reason):
    if text is not None:
        (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"a\.json {reason}"):
        read_record(tmp_path / "a.json")
