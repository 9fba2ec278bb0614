"""`doubleback eval` and `doubleback compare`, as a user meets them."""

import json
import subprocess
import sys

import pytest
from support.commands import errors
from support.processes import wait_until

COUNTDOWN = ["eval", "bundled:countdown", "--suite", "countdown", "--limit", "6", "--n", "4", "--max-tokens", "48"]


def lines(folder):
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def test_countdown_gives_table_samples_summary_and_curve(run, tmp_path):
    out = tmp_path / "out"
    code, text, err = run(*COUNTDOWN, "--engine", "transformers", "--k", "1,2", "--out", out)
    assert code == 0, err
    found = json.loads((out / "summary.json").read_text())
    assert (found["suite"], found["num_problems"], found["n"], found["seed"]) == ("countdown", 6, 4, 0)
    assert set(found["pass_at_k"]) == {"1", "2", "3", "4"}
    assert set(found["pass_at_k"]["1"]) == {"value", "low", "high"}
    assert set(found["maj_at_k"]) == {"1", "2", "4"}
    assert "verified_backtrack" in found
    assert len(lines(out)) == 24
    assert [(line["problem"], line["sample"]) for line in lines(out)[:5]] == [
        *((lines(out)[0]["problem"], index) for index in range(4)),
        (lines(out)[4]["problem"], 0),
    ]
    assert (out / "pass_at_k.png").stat().st_size > 5000
    for shown in ("pass@1", "pass@2", "pass^4", "maj@4", "strict extraction", "verified backtracks", "6 problems x 4"):
        assert shown in text


@pytest.mark.slow
def test_the_same_command_again_changes_nothing_and_another_is_refused(run, tmp_path):
    out = tmp_path / "out"
    command = [*COUNTDOWN, "--engine", "transformers", "--out", out]
    assert run(*command)[0] == 0
    before = (out / "samples.jsonl").read_bytes()
    assert run(*command)[0] == 0
    assert (out / "samples.jsonl").read_bytes() == before
    code, _, err = run(*command, "--seed", "1")
    assert (code, errors(err)) == (
        2,
        [f"error: --out {out} holds an evaluation with seed=0, not 1; choose another folder"],
    )
    assert (out / "samples.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_torn_file_is_mended_to_the_same_bytes(run, tmp_path, monkeypatch):
    """Blocks of two problems; the file is cut in the middle of the third problem's samples."""
    monkeypatch.setattr("doubleback.eval.run.BLOCK_SAMPLES", 8)
    out = tmp_path / "out"
    command = [*COUNTDOWN, "--engine", "transformers", "--out", out]
    assert run(*command)[0] == 0
    whole = (out / "samples.jsonl").read_bytes()
    (out / "samples.jsonl").write_bytes(whole[: len(whole) // 2 + 11])
    assert run(*command)[0] == 0
    assert (out / "samples.jsonl").read_bytes() == whole


@pytest.mark.slow
def test_prompts_follow_the_tokenizer(run, questions, text_model, tmp_path):
    for kind, prompt in (("none", "gsm8k_cot_8shot"), ("plain", "r1")):
        out = tmp_path / kind
        arguments = [
            "--suite",
            "gsm8k",
            "--data",
            questions,
            "--engine",
            "transformers",
            "--max-tokens",
            "8",
            "--limit",
            "2",
        ]
        code, text, err = run("eval", text_model[kind], *arguments, "--out", out)
        assert code == 0, err
        assert f"prompt {prompt}" in text
        found = json.loads((out / "summary.json").read_text())
        assert found["prompt"] == prompt
        assert found["temperature"] == 0.0
        assert set(found["extraction"]) == {"strict", "flexible"}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "switch"), [("qwen3", "enable_thinking"), ("granite", "thinking"), ("plain", None)])
def test_thinking_on_and_off_are_run_and_compared(run, questions, text_model, tmp_path, kind, switch):
    out = tmp_path / "out"
    arguments = ["--suite", "gsm8k", "--data", questions, "--engine", "transformers", "--max-tokens", "8", "--n", "2"]
    code, text, err = run("eval", text_model[kind], *arguments, "--thinking", "both", "--out", out)
    assert code == 0, err
    summaries = [json.loads((out / f"thinking-{mode}" / "summary.json").read_text()) for mode in ("on", "off")]
    assert [found["thinking"] for found in summaries] == [True, False]
    assert [found["thinking_switch"] for found in summaries] == [switch, switch]
    assert all(found["obeys_thinking"]["value"] is not None for found in summaries)
    assert "obeys thinking" in text
    assert "paired by problem" in text
    assert (out / "thinking-off" / "compared-with-thinking-on.png").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--suite", "gsm8"], "suite 'gsm8' is no YAML file and not shipped; did you mean gsm8k"),
        (["--k", "1,9"], "--k 9 must be from 1 to --n 4; drop it or raise --n"),
        (["--k", "one"], "--k one: write whole numbers with commas between, as in 1,4,16"),
        (["--n", "65537"], "evaluate: n=65537: input should be less than or equal to 65536"),
        (["--thinking", "maybe"], "--thinking maybe: choose on, off or both"),
        (["--temperature", "0"], "--temperature 0 gives n=4 equal samples; use --n 1, or a temperature above 0"),
        (["--prompt", "r2"], "prompt 'r2' is no YAML file and not shipped; known: answer, boxed"),
        (["--prompt", "r1"], "--prompt r1 is for chat models, and the tokenizer has no chat template"),
        (["--adapter", "nowhere"], "--adapter nowhere: there is no such folder"),
        (["--max-tokens", "4000"], "model.max_length="),
        (["--endpoint", "http://127.0.0.1:9/v1"], "--endpoint http://127.0.0.1:9/v1 does not answer"),
        (["--ban", "bakc"], "--ban 'bakc' is no single token of the model's vocabulary; ban a word that is"),
        (["--ban", " "], "--ban ' ' is no single token of the model's vocabulary; ban a word that is"),
        (["--ban", "<eos>"], "--ban '<eos>' is the end of a completion, and none would end; ban another word"),
        (["--ban", "back", "--endpoint", "http://127.0.0.1:9/v1"], "--ban 'back' needs the model's vocabulary, which"),
        (["--engine", "vlm"], "--engine vlm"),
        (["--dtype", "float16"], "--dtype float16"),
    ],
)
def test_bad_arguments_are_one_line(run, tmp_path, arguments, line):
    code, _, err = run(*COUNTDOWN, "--engine", "transformers", "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert len(errors(err)) == 1
    assert errors(err)[0].startswith(f"error: {line}")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_word_is_banned_and_compare_names_and_pairs_the_two(run, tmp_path):
    """The samples that never said it are the same ones: the random numbers are, and up to the word so is the policy."""
    command = [*COUNTDOWN, "--engine", "transformers", "--out"]
    assert run(*command, tmp_path / "free")[0] == 0
    code, text, err = run(*command, tmp_path / "banned", "--ban", "back", "--ban", "yes")
    assert code == 0, err
    assert "temperature 1, never 'back', 'yes'" in text
    said = [{"back", "yes"} & set(line["completion"].split()) for line in lines(tmp_path / "free")]
    assert sum(map(bool, said)) > len(said) / 4
    assert not any({"back", "yes"} & set(line["completion"].split()) for line in lines(tmp_path / "banned"))
    found = json.loads((tmp_path / "banned" / "summary.json").read_text())
    assert (found["ban"], found["banned_rate"]["value"]) == (["back", "yes"], 0.0)
    code, _, err = run(*command, tmp_path / "banned")
    assert (code, errors(err)[0].partition(" with ")[2]) == (
        2,
        "ban=['back', 'yes'], not None; choose another folder",
    )
    code, text, err = run("compare", tmp_path / "free", tmp_path / "banned")
    assert code == 0, err
    assert "ban is none in A and 'back', 'yes' in B" in text
    assert "seed" not in text
    assert "at equal tokens" in text


def test_bad_rows_are_named_and_can_be_left_out(run, text_model, questions, tmp_path):
    with questions.open("a") as file:
        file.write('{"question": "no answer here"}\n{"question": "nor here"}\n')
    arguments = ["--suite", "gsm8k", "--data", questions, "--engine", "transformers", "--max-tokens", "4"]
    code, _, err = run("eval", text_model["plain"], *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert errors(err)[0].startswith(f"error: {questions}:7: no 'answer'; the row has question")
    assert not (tmp_path / "out").exists()
    code, text, err = run("eval", text_model["plain"], *arguments, "--skip-bad", "--out", tmp_path / "out")
    assert code == 0, err
    assert text.count("left out") == 1
    assert f"2 rows left out: {questions}:7: no 'answer'; the row has question; {questions}:8: no" in text
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (found["num_bad"], found["num_problems"]) == (2, 6)


def test_compare_refuses_what_is_not_there(run, tmp_path):
    code, _, err = run("compare", tmp_path, tmp_path)
    assert code == 2
    assert "holds no finished evaluation" in errors(err)[0]


@pytest.mark.slow
def test_stored_samples_and_logs_of_lm_eval_give_the_same_summary(run, tmp_path):
    out = tmp_path / "out"
    assert run(*COUNTDOWN, "--engine", "transformers", "--out", out)[0] == 0
    code, text, err = run("score", out / "samples.jsonl", "--reward", "countdown", "--out", tmp_path / "again.jsonl")
    assert code == 0, err
    first = json.loads((out / "summary.json").read_text())
    again = json.loads((tmp_path / "again.summary.json").read_text())
    same = ("num_problems", "n", "pass_at_k", "pass_all_k", "avg_at_n", "verdicts", "mean_tokens", "verified_backtrack")
    assert {key: again[key] for key in same} == {key: first[key] for key in same}
    assert "pass@1" in text
    log = tmp_path / "samples_gsm8k.jsonl"
    rows = [
        {
            "doc_id": number,
            "doc": {"question": "?", "answer": f"#### {number}"},
            "target": f"#### {number}",
            "resps": [[f"The answer is {number % 2}."]],
            "filtered_resps": [str(number % 2)],
            "filter": kind,
            "exact_match": float(number < 2),
        }
        for number in range(4)
        for kind in ("strict-match", "flexible-extract")
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, text, err = run("score", log, "--reward", "math")
    assert code == 0, err
    found = json.loads((tmp_path / "samples_gsm8k.scored.summary.json").read_text())
    assert (found["num_problems"], found["pass_at_k"]["1"]["value"]) == (4, 0.5)


@pytest.mark.slow
def test_killed_and_run_again_gives_the_same_bytes_with_vllm(run, tmp_path):
    """`kill -9` in the middle of a block: what was finished is on disk, and is not sampled again."""
    arguments = ["eval", "bundled:countdown", "--suite", "countdown", "--n", "16", "--limit", "60", "--out"]
    assert run(*arguments, tmp_path / "whole")[0] == 0
    whole = (tmp_path / "whole" / "samples.jsonl").read_bytes()
    assert whole.count(b"\n") == 960
    command = [sys.executable, "-m", "doubleback.recipes", *arguments, str(tmp_path / "killed")]
    killed, path = subprocess.Popen(command, stdout=subprocess.DEVNULL), tmp_path / "killed" / "samples.jsonl"
    try:
        wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= 200, killed)
    finally:
        killed.kill()
        killed.wait()
    num_problems = path.read_bytes().count(b"\n") // 16
    assert 12 <= num_problems < 60
    code, signs, err = run(*arguments, tmp_path / "killed")
    assert code == 0, err
    assert path.read_bytes() == whole
    first, again = ((tmp_path / name / "summary.json").read_bytes() for name in ("whole", "killed"))
    assert first == again
    assert f" of {960 - 16 * num_problems} done" in signs or f"{num_problems}/60" in signs, signs
