"""Questions in a file, and tiny models that read them."""

import json
import socket

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


@pytest.fixture
def asked(monkeypatch):
    """What of the network was asked for: nobody is reached, though the hub may be."""
    from huggingface_hub import constants

    asked = []

    def refuse(*names, **options):
        asked.append(names)
        raise OSError("refused")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.fixture(scope="session")
def text_model(tmp_path_factory):
    """Folders of tiny models that read English, by kind of chat template."""
    texts = [row["question"] for row in QUESTIONS] + ["<think> Let me see. </think> <answer> 7 </answer>\n#### 12"]
    stand_ins = {"none": None, "plain": "chatml", "qwen3": "qwen3", "granite": "granite"}
    return {
        name: str(make_text_model(tmp_path_factory.mktemp(name), texts, stand_in, vocabulary=400))
        for name, stand_in in stand_ins.items()
    }
