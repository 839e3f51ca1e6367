"""Whether a tuning reaches into a backbone, told from its files and its family's code without loading either."""

from __future__ import annotations

from functools import cache

from chain_core.modeling.backbones.shapes import BackboneShapes
from chain_core.paths import find_package

CHOSEN = "ALL_ATTENTION_FUNCTIONS"
"""What a family's code looks its attention up in, where another one can be put in its place, as prefixes need."""


def is_reached(tuning: str, model_type: str, shapes: BackboneShapes, start: int) -> bool:
    """Whether the layers above layer `start` have what IA3 scales, or an attention that can take prefixes.

    Other tunings reach into every backbone; of a family that is not transformers' own nothing is known against it.
    """
    if tuning == "ia3":
        return shapes.has_ia3(start)
    return tuning != "prefix" or _lets_choose_attention(model_type)


@cache
def _lets_choose_attention(model_type: str) -> bool:
    library = find_package("transformers")
    if library is None:
        return True
    family = library / "models" / model_type.replace("-", "_")
    code = [path.read_text(encoding="utf-8") for path in sorted(family.glob("modeling_*.py"))]
    return not code or any(CHOSEN in text for text in code)
