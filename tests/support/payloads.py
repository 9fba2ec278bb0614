"""Texts that a terminal, rich or matplotlib would take for more than text."""

ESCAPES = (
    *("\x1b[2J", "\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://x\x07link\x1b]8;;\x07", "\x1bc", "\x1b[1A\x1b[2K"),
    *("\x9b2J", "\x90q\x9c", "\r\rover", "\x08\x08\x08", "\x07\x07", "\x00", "\x7f", "\x0b\x0c", "\x0e\x0f", "\x85"),
    *("\u202egnp.exe", "\u2066isolated\u2069", "\ud800", "\x1bP$q\x1b\\", "\x1b[?1049h", "\x1b[6n", "\x1b[5m"),
)
MARKUP = (
    *("[/INST]", "[/]", "[bold]", "[/bold]", "[red]x[/red]", "[[/x]]", "[link=http://x]y", "[@click=f()]", "\\[/INST]"),
    *("[/INST][/]", ":smile:", "[", "]", "[#ff0000]", "$x_{", "$\\frac{$", "{question}", "%s %d {0}"),
)
PAYLOADS = ESCAPES + MARKUP


def commands_in(text):
    """The characters of an output that a terminal would obey; what the program colours itself is none in a pipe."""
    return {
        character
        for character in text
        if character not in "\n\t" and (ord(character) < 32 or 127 <= ord(character) < 160)
    }


HTML = (
    *("<script>alert(1)</script>", "</script><script>alert(2)</script>", "<img src=x onerror=alert(3)>", "</style><b>"),
    *("<!--", "-->", "<![CDATA[", "]]>", "<svg onload=alert(4)>", "\"><a href='javascript:alert(5)'>", "' onclick='x"),
    *("{{ 7 * 7 }}", "{% include '/etc/passwd' %}", "{# x #}", "&lt;b&gt;", "&#x202e;", "http://example.org/x", "<"),
    *("<base href=http://example.org>", "<meta http-equiv=refresh content=0>", "</main></body></html>", "<textarea>"),
    *("\u200e\u200f\u061c", "a\u200bb\ufeff", "\u2028\u2029", "\u00ad", "\U000e0041\U000e007f", "<iframe src=//x>"),
)
"""Texts that a browser would take for more than text, or that it would not show."""
