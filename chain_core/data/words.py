"""Words of a text that nobody has split yet."""

from __future__ import annotations

import re

_WIDE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WIDE_CHARACTER = re.compile(f"[{_WIDE}]")
# A Chinese, Japanese or Korean character stands for itself; other letters and digits hang together; marks stand alone.
_WORD = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+(?:['’][^\W\d_]+)?|[^\w\s]")
_ENDED = re.compile(r"(.*\w)([.,!?;:…。，！？；：]+)")


def split_words(text: str) -> list[str]:
    """The words of a text, in order: `["turn", "on", "the", "light"]`, `["打", "开", "灯"]`.

    White space parts words, and marks at a word's end stand apart, but not those of `d.c.`. Chinese comes apart into
    characters, unless spaces part it everywhere. Where there is no space at all, every mark stands apart.
    """
    parts = text.split()
    if len(parts) < 2:
        return _WORD.findall(text) or parts
    wide = [_WIDE_CHARACTER.search(part) is not None for part in parts]
    words: list[str] = []
    for part, is_wide in zip(parts, wide, strict=True):
        ended = _ENDED.fullmatch(part)
        if is_wide and not all(wide):
            words += _WORD.findall(part)
        elif ended and "." not in ended[1]:
            words += [ended[1], *ended[2]]
        else:
            words.append(part)
    return words
