"""Strings that break tokenizers, drawn by seed: everything that Unicode has, and what people do with it."""
import random

BLOCKS = (
    (0x20, 0x7E), (0x00, 0x1F), (0x7F, 0xA0), (0xA1, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F),
    (0x591, 0x5F4), (0x600, 0x6FF), (0x900, 0x97F), (0xE01, 0xE5B), (0x1100, 0x11FF), (0x1E00, 0x1FFE),
    (0x2000, 0x206F), (0x2100, 0x23FF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xD800, 0xDFFF),
    (0xE000, 0xE0FF),
    (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF), (0x1F1E6, 0x1F1FF),
    (0x1F300, 0x1FAFF), (0x20000, 0x20100), (0xE0000, 0xE007F), (0x0, 0x10FFFF),
)
"""First and last code point of ASCII, controls, Latin, marks, Greek, Cyrillic, Hebrew, Arabic, Devanagari, Thai, jamo,
polytonic Greek, blanks and directions, symbols, kana, Han, Hangul, halves of surrogate pairs, private use, compatible
forms, variation selectors, wide forms, mathematical letters, flags, emoji, rarer Han, tags; then of all."""
WORDS = (
    "the", "Hello", "WORLD", "don't", "we'll", "3.14", "1,000", "http://x.y/z?q=1#a", "İstanbul", "Straße", "ΣΊΣΥΦΟΣ",
    "e\u0301te\u0301", "ﬁn", "각", "\u1100\u1161\u11a8", "नमस्ते", "שָׁלוֹם", "\u202eabc\u202c", "a\u200db", "👨‍👩‍👧‍👦",
    "🏳️‍🌈", "🇩🇪🇯", "👍🏽", "[MASK]", "[CLS]", "[SEP]", "[mask]", "<s>", "</s>", "<mask>", "<pad>", "<unk>",
    "<|endoftext|>", "##ing", "Ġ", "▁", "\ufffd", "\ufeff", "\ud83d", "\ude00\ud83d", "a\x00b", "``", "''", "...",
    "—", "\u00ad",
)
BLANKS = (" ", "  ", "\t", "\n", "\r\n", "\x0b", "\x85", "\u00a0", "\u2009", "\u2028", "\u3000", "")
EDGES = ("", " ", "\x00", "\ud800", "\udc00\ud800", "a" * 101, "x" * 3000, "." * 500, "漢" * 300, "\u0301" * 200)


def nasty(number: int, seed: int = 0) -> list[str]:
    """That many different strings of up to about 300 characters, a few longer."""
    draw = random.Random(seed)
    found = dict.fromkeys(EDGES[:number])
    while len(found) < number:
        first, last = draw.choice(BLOCKS)
        text = ""
        for _ in range(draw.choice((1, 2, 5, 20, 40))):
            kind = draw.randrange(8)
            if kind < 2:
                text += draw.choice(WORDS)
            elif kind < 4:
                text += chr(draw.randint(first, last))
            elif kind < 5:
                text += chr(draw.randint(*draw.choice(BLOCKS)))
            elif kind < 7:
                text += draw.choice(BLANKS)
            else:
                text += draw.choice("abcdefXYZ019") * draw.choice((1, 2, 30))
        found[text] = None
    return list(found)
