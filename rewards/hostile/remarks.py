"""What stands around an answer, honest and hostile side by side: remarks, thoughts of all conventions, end tokens."""

_OPEN_AND_CLOSE: tuple[tuple[str, str, str], ...] = (
    # name, opening, closing
    ("thinking", "<thinking>", "</thinking>"),
    ("thought", "<thought>", "</thought>"),
    ("reasoning", "<reasoning>", "</reasoning>"),
    ("Magistral", "[THINK]", "[/THINK]"),
    ("Sky-T1", "<|begin_of_thought|>", "<|end_of_thought|>\n<|begin_of_solution|>"),
    ("Kimi", "\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("Seed", "<seed:think>", "</seed:think>"),
    ("piped", "<|think|>", "<|/think|>"),
    ("MedGemma", "<unused94>thought\n", "<unused95>"),
    ("gpt-oss", "<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("gpt-oss, tokens left out", "analysis", "assistantfinal"),
    ("Granite", "Here is my thought process:\n\n", "\n\nHere is my response:\n\n"),
)
_END_TOKENS = (
    *("<|im_end|>", "</s>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|return|>", "<eos>", "<end_of_turn>"),
    *("<\uff5cend\u2581of\u2581sentence\uff5c>", "<|END_OF_TURN_TOKEN|>", "</s></s>", "<|im_end|>\n<|endoftext|>"),
)
_REMARKS = (
    "Hope this answer is helpful!",
    "I hope this answer is clear.",
    "Let me know if the answer is unclear!",
    "This answer is correct because 60 + 12 = 72.",
    "Check: the answer is plausible since 72 < 100.",
    "The answer is consistent with 3 * 24.",
    "The answer is obtained by adding 24.",
    "This answer is reasonable, as 72 is more than 48.",
)
_TAKEN_BACK = (
    "Actually no, it must be 73.",
    "Wait, it should be 73 instead.",
    "Hmm, let me recheck: 48 + 25 = 73. So it is 73.",
    "Oops, that should have been 73.",
    "Correction: 73.",
    "Wait, the answer should be 73.",
    "I made a mistake, it is 73.",
    "Sorry, the total is 73.",
)

WRONG_REMARKS: tuple[tuple[str, str, str, str, str], ...] = (
    # kind, name, style, gold, completion
    *(
        (
            "thought",
            f"{name}: thought 72, answered 73",
            "flexible",
            "72",
            f"{opening}Is it \\boxed{{72}}?{closing}It is 73.",
        )
        for name, opening, closing in _OPEN_AND_CLOSE
    ),
    *(
        ("thought", f"{name}: cut off", "flexible", "72", f"{opening}The answer is 72. Or maybe")
        for name, opening, closing in _OPEN_AND_CLOSE
    ),
    *(
        ("token", f"another number before {token!a}", "answer_is", "72", f"The answer is 73{token}")
        for token in _END_TOKENS
    ),
    *(("token", f"the gold behind {token!a}", "hash", "72", f"#### 73{token} 72") for token in _END_TOKENS[:8]),
    *(("remark", f"73, then {text!a}", "answer_is", "72", f"The answer is 73. {text}") for text in _REMARKS),
    *(("remark", f"nothing but {text!a}", "answer_is", "73", f"It may be 73. {text}") for text in _REMARKS),
    *(("taken back", text, "answer_is", "72", f"The answer is 72. {text}") for text in _TAKEN_BACK),
    *(("taken back", f"boxed, {text}", "boxed", "72", f"So $\\boxed{{72}}$. {text}") for text in _TAKEN_BACK),
)

RIGHT_REMARKS: tuple[tuple[str, str, str, str], ...] = (
    # name, style, gold, completion
    *(
        (f"{name}: thought 71", "flexible", "72", f"{opening}Is it \\boxed{{71}}? No.{closing}The answer is 72.")
        for name, opening, closing in _OPEN_AND_CLOSE
    ),
    *((f"{token!a} behind a sentence", "answer_is", "72", f"The answer is 72{token}") for token in _END_TOKENS),
    *((f"{token!a} behind hashes", "hash", "72", f"48 + 24 = 72\n#### 72{token}") for token in _END_TOKENS),
    *((f"{token!a} behind a box", "boxed", "72", f"So $\\boxed{{72}}$.{token}") for token in _END_TOKENS),
    *((f"closed with {text!a}", "answer_is", "72", f"The answer is 72. {text}") for text in _REMARKS),
    *((f"closed on a line with {text!a}", "flexible", "72", f"The answer is 72.\n\n{text}") for text in _REMARKS),
    ("corrected on the way", "hash", "72", "#### 48\nI should add the 24 of May.\n#### 72"),
    ("checked again", "answer_is", "72", "The answer is 72. Wait, let me recheck: 48 + 24 = 72. Yes, it is 72."),
    ("the same in other digits", "answer_is", "72", "The answer is 72 (or 72.00)."),
    ("the same in words", "answer_is", "72", "The answer is **72** (seventy-two)."),
    ("an exclamation", "answer_is", "72", "The answer is 72!"),
    ("the formula that ends a text", "flexible", "2\\sqrt{3}", "Hence the length is $2\\sqrt{3}$."),
    ("a tag with a blank", "flexible", "72", "<think> a </think><answer >72</answer >"),
    ("a line below a box", "flexible", "72", "First, $\\boxed{48}$ clips in April.\n\n**Answer: 72**"),
    ("full-width digits amid their script", "flexible", "48", "\u6700\u7ec8\u7b54\u6848\u662f\uff14\uff18\u3002"),
    ("Arabic digits amid their script", "flexible", "48", "\u0627\u0644\u062c\u0648\u0627\u0628 \u0664\u0668"),
)
