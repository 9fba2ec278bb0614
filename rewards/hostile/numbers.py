"""Numbers as people write them, and what must not be taken for them: groups, currencies, units, signs of Unicode."""

RIGHT_NUMBERS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    # kind, style, gold, what stands where the answer should
    (
        "honest",
        "boxed",
        "12500",
        ("12 500", "12~500", "12\u202f500", "12\u2009500", "12\u00a0500", "12\\,500", "12,\\! 500"),
    ),
    ("honest", "boxed", "12500", ("12'500", "12,500", "12\\;500", "12 500.00", "\\$12 500", "12 500 apples")),
    ("honest", "hash", "1234567", ("1 234 567", "1\u202f234\u202f567", "1'234'567")),
    ("honest", "answer_is", "-12500", ("-12 500", "\u221212 500", "-12,500")),
    ("honest", "boxed", "7/4", ("1\u00be", "1 3/4", "1\\text{ and }\\frac{3}{4}", "{7 \\over 4}", "1\\frac{3}{4}")),
    ("honest", "boxed", "0.5", ("\u00bd", "1/2", ".5")),
    ("honest", "boxed", "2\\sqrt{3}", ("2\u221a3", "\u221a12", "\u221a(12)", "\\Large 2\\sqrt{3}")),
    ("honest", "boxed", "x^2+1", ("x\u00b2+1", "1 + x\u00b2", "x**2 + 1")),
    ("honest", "boxed", "x^{12}", ("x\u00b9\u00b2", "x**12", "x^{12}")),
    (
        "honest",
        "boxed",
        "48",
        ("48 \u20ac", "48\u20ac", "\u00a548", "\u20b948", "\u20ac 48", "48\u5143", "48\\text{\u4e2a\u82f9\u679c}"),
    ),
    (
        "honest",
        "boxed",
        "48",
        ("48 USD", "Rs. 48", "48 EUR", "48 m\u00b2", "48 cm^2", "48^\\circ\\text{C}", "48\\,\\Omega"),
    ),
    (
        "honest",
        "boxed",
        "48",
        ("48\\;\\text{J}", "48\\ \\frac{\\text{m}}{\\text{s}}", "\\underline{48}", "\\emph{48}", "48\\\\"),
    ),
    (
        "honest",
        "boxed",
        "48",
        ("\\mathbf{\\text{48}}", "\\hspace{2pt}48", "\\color{red}{48}", "\\Large 48", "\\textcolor{blue}{48}"),
    ),
    ("honest", "boxed", "3200000", ("3.2 million", "3.2 x 10^6", "3.2 \\times 10^6", "3 200 000", "3,200,000")),
    ("honest", "answer_is", "3200000", ("3.2 million", "3.2 million dollars")),
    ("honest", "answer_is", "12", ("twelve", "Twelve")),
    ("honest", "boxed", "\\ln 2", ("\\log_e 2", "\\log_{e} 2")),
)

WRONG_NUMBERS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    # kind, style, gold, what stands where the answer should
    (
        "groups",
        "boxed",
        "12500",
        ("12 50", "12 5 00", "125 00", "12 500 0", "12\u202f50", "12'50", "12 500 000", "1 2 500"),
    ),
    ("groups", "hash", "1234567", ("1 234 56", "1 23 4567", "1234 567 0", "12 345 67", "1'23'4567")),
    ("groups", "answer_is", "72", ("7 2", "7\u202f2", "7'2", "0 72", "72 000", "7 200")),
    ("groups", "boxed", "1200", ("1 2 0 0", "1, 200", "12 00", "1 200 000", "120 0")),
    ("groups", "boxed", "3100", ("3 100/3", "3 100 100", "31 00")),
    ("signs", "boxed", "7/4", ("1\u00bd", "7\u00be", "\u00be", "{4 \\over 7}", "1\\text{ or }\\frac{3}{4}")),
    ("signs", "boxed", "2\\sqrt{3}", ("2\u221a2", "\u221a6", "3\u221a2", "\u221a3")),
    ("signs", "boxed", "x^2+1", ("x\u00b3+1", "x\u2082+1", "x\u00b2", "y\u00b2+1", "x**3 + 1")),
    ("signs", "boxed", "12", ("1\u00b2", "1\u2082", "\u00bd", "1\u00bd")),
    (
        "currency",
        "boxed",
        "48",
        (
            "49 \u20ac",
            "48\u00a2",
            "\u00a5480",
            "\u20b94.8",
            "48\u4e07",
            "48\u5343",
            "48\u767e\u4e07",
            "48\u4e2a\u621649\u4e2a",
        ),
    ),
    ("currency", "boxed", "\u20ac48", ("\u00a348", "\u00a548", "48\u20b9")),
    ("unit", "boxed", "48 \\text{ m}^2", ("48 \\text{ m}", "48 \\text{ m}^3", "48", "48 \\text{ cm}^2")),
    ("unit", "boxed", "48", ("48\\text{k}", "48\\text{M}", "48 \\Omega 49", "48i", "48\\pi")),
    ("unit", "boxed", "48^\\circ\\text{C}", ("48^\\circ\\text{F}", "48 \\text{ C}^2", "49^\\circ\\text{C}")),
    (
        "scale",
        "boxed",
        "3200000",
        ("3.2 thousand", "3.2 billion", "32 million", "3.2", "3.2 x 10^5", "3.2 million or so"),
    ),
    ("scale", "answer_is", "12", ("twenty", "twelve hundred", "twelve or so", "two", "a dozen", "twelfth")),
    (
        "decoration",
        "boxed",
        "48",
        ("\\color{48}{49}", "\\underline{4}8", "\\hspace{48pt}", "\\phantom{48}", "\\textcolor{48}{4}"),
    ),
)
