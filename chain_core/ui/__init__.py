"""The screens' parts: the only package that imports streamlit, besides app.py and pages/."""

from chain_core.ui.language import t
from chain_core.ui.shell import open_page

__all__ = ["open_page", "t"]
