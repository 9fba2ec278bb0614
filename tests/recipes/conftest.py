"""Questions in a file, and tiny models that read them."""

import json

import pytest
from support.models.text import make_text_model

QUESTIONS = [
    {"question": f"Ann has {n} beads and buys {n + 1} more. How many has she?", "answer": f"...\n#### {2 * n + 1}"}
    for n in range(1, 7)
]


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    return path


@pytest.fixture(scope="session")
def text_model(tmp_path_factory):
    """Folders of tiny models that read English, by kind of chat template."""
    texts = [row["question"] for row in QUESTIONS] + ["<think> Let me see. </think> <answer> 7 </answer>\n#### 12"]
    stand_ins = {"none": None, "plain": "chatml", "qwen3": "qwen3", "granite": "granite"}
    return {
        name: str(make_text_model(tmp_path_factory.mktemp(name), texts, stand_in, vocabulary=400))
        for name, stand_in in stand_ins.items()
    }
