"""What is nobody else's: paths of this machine, secrets, rows."""

import hashlib
import json

import pytest

from doubleback.recipes.publish.private import LEFT_OUT, shareable, without_folder


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ann/data/rows.jsonl", "rows.jsonl"),
        ("/home/ann/rewards.py:brief", "rewards.py:brief"),
        ("~/data/rows.jsonl", "rows.jsonl"),
        ("../rows.jsonl", "rows.jsonl"),
        ("data/rows.jsonl", "data/rows.jsonl"),
        ("openai/gsm8k:main:train", "openai/gsm8k:main:train"),
        ("/no_think", "/no_think"),
        ("bundled:countdown", "bundled:countdown"),
        ("/", "/"),
    ],
)
def test_of_a_path_the_last_name_is_left(text, shown):
    assert without_folder(text) == shown


@pytest.mark.parametrize("key", ["api_key", "API-KEY", "hf_token", "token", "client_secret", "password", "credentials"])
def test_a_text_under_such_a_name_is_a_secret(key):
    assert shareable({"args": {key: "x", "other": 3}}) == ({"args": {key: LEFT_OUT, "other": 3}}, [f"args.{key}"])


@pytest.mark.parametrize(
    "value", ["hf_" + "a" * 34, "key sk-" + "b" * 20, "ghp_" + "c" * 36, "AKIA" + "D" * 16, "https://ann:pw@host/x"]
)
def test_what_looks_like_a_key_is_one_wherever_it_stands(value):
    assert shareable({"note": [value]}) == ({"note": [LEFT_OUT]}, ["note"])


@pytest.mark.parametrize("key", ["max_tokens", "eos_token_id", "tokens", "monkey", "key", "secretary"])
def test_other_settings_stay(key):
    assert shareable({key: "x"}) == ({key: "x"}, [])


def test_rows_are_their_number_and_hash():
    rows = [{"question": "2 + 2?", "answer": "4"}]
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    assert shareable({"train": rows}) == ({"train": f"1 rows given in Python, SHA-256 {digest}"}, [])
