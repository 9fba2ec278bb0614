"""Lines of ours, read without what nobody asked for."""

from doubleback.rewards.jsonl import complete_lines, to_lines

PER_TOKEN = ("token_ids", "sampler_logprobs", "teacher_logprobs")


def test_keys_of_each_token_are_left_out_and_texts_that_look_like_them_stay(tmp_path):
    rows = [
        {
            "problem": "p",
            "completion": text,
            "token_ids": [1, 2],
            "detail": text,
            "sampler_logprobs": [-0.5, None, 1e-9],
        }
        for text in (
            'x, "token_ids": [1, 2]',
            '", "token_ids": [3]',
            "\\",
            '\\", "sampler_logprobs": []',
            '"',
            "]",
            "\n",
        )
    ]
    for name in ("rows.jsonl", "rows.jsonl.gz"):
        path = tmp_path / name
        path.write_bytes(to_lines(rows, is_gzipped=name.endswith(".gz")))
        assert complete_lines(path) == rows
        kept = [{key: value for key, value in row.items() if key not in PER_TOKEN} for row in rows]
        assert complete_lines(path, PER_TOKEN) == kept


def test_a_key_that_holds_no_numbers_is_read(tmp_path):
    rows = [{"a": 1, "token_ids": None}, {"a": 1, "token_ids": ["x"]}, {"token_ids": [1], "a": 1}]
    (tmp_path / "rows.jsonl").write_bytes(to_lines(rows))
    assert complete_lines(tmp_path / "rows.jsonl", PER_TOKEN) == rows
