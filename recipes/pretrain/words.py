"""The words that every vocabulary begins with."""

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
FIRST_WORDS = (PAD, BOS, EOS, *TAGS)
