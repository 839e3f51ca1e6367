"""Tensors as one safetensors file, on the disk itself when it is said to be written."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors of the CPU, none of which shares memory with another. Raises OSError as any writing does."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), str(path), metadata=dict(metadata) if metadata else None)
    except SafetensorError as error:  # of the disk's error it keeps the words alone: "… (os error 28)"
        code = re.search(r"os error (\d+)", str(error))
        raise OSError(int(code[1]) if code else errno.EIO, str(error)) from error
    with path.open("rb") as file, suppress(OSError):
        os.fsync(file.fileno())
