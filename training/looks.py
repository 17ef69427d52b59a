"""What a token of a response should look at: marks inside texts, taken out again by `unmark`.

A reasoning is computed token by token, and for most tokens it is known where the answer stands: the
digits of a number at its visual token, a running count at the asked word where the item counts, else
at the count before. Two heads of the language model are taught to look there (train.py), which is
learned in minutes; from the answers alone it took hours (LOG.md).
"""

OPEN, CLOSE, ANCHOR = "\ue000", "\ue001", "\ue002"
VISUAL, TEXT = 0xE100, 0xF000  # first code of the visual tokens (32 columns wide) and of the anchors
COLUMNS = 32


def of(item, text) -> str:
    """Text that is about an item: its tokens look at the item's visual token."""
    row, col = item.token
    return f"{OPEN}{chr(VISUAL + row * COLUMNS + col)}{text}{CLOSE}"


def anchor(n: int) -> str:
    """Stands behind a word that others look at; n (0..1999) names it within one question."""
    return f"{ANCHOR}{chr(TEXT + n)}"


def back(n: int, text) -> str:
    """Text whose tokens look back at anchor n."""
    return f"{OPEN}{chr(TEXT + n)}{text}{CLOSE}"


def unmark(text: str):
    """-> (plain text, spans [(start, end, target)], anchors {n: end of its word}); a target is
    ("visual", row, col) or ("text", n)."""
    plain, spans, anchors, start, i = [], [], {}, 0, 0
    while i < len(text):
        mark = text[i]
        if mark == OPEN:
            code, start, i = ord(text[i + 1]), len(plain), i + 1
            target = ("text", code - TEXT) if code >= TEXT else ("visual", *divmod(code - VISUAL, COLUMNS))
        elif mark == CLOSE:
            spans.append((start, len(plain), target))
        elif mark == ANCHOR:
            i += 1
            anchors[ord(text[i]) - TEXT] = len(plain)
        else:
            plain.append(mark)
        i += 1
    return "".join(plain), spans, anchors
