"""Words of a text that nobody has split yet."""

from __future__ import annotations

import re

# A Chinese, Japanese or Korean character stands for itself; other letters and digits hang together; marks stand alone.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]"
    r"|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+(?:['’][^\W\d_]+)?"
    r"|[^\w\s]"
)


def split_words(text: str) -> list[str]:
    """The words of a text, in order: `["turn", "on", "the", "light"]`, `["打", "开", "灯"]`."""
    return _WORD.findall(text)
