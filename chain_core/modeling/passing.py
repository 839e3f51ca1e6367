"""Values as bytes that one process hands another: JSON, and after it the arrays that it names.

What comes in is data: to read it nothing is called but constructors of this package's own values and of errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

ALIGNED = 64
"""An array begins at a multiple of so many bytes, as torch and Arrow read it fastest."""
HEAD = 8
"""Bytes that tell the length of the JSON."""


def pack(value: Any) -> bytearray:
    """None, booleans, numbers, texts, paths, lists, tuples, mappings, arrays (numpy's, torch's, Arrow's and its
    tables), values of this package and errors, in each other. Raises TypeError for anything else."""
    writer = _Writer()
    header = json.dumps(writer.write(value)).encode()
    packed = bytearray(len(header).to_bytes(HEAD, "little") + header)
    for array in writer.arrays:
        packed += bytes(-len(packed) % ALIGNED)
        packed += array.tobytes()
    return packed


def unpack(packed: np.ndarray) -> Any:
    """What `pack` has made into bytes, (N,) uint8; its arrays lie where these do."""
    end = HEAD + int.from_bytes(packed[:HEAD].tobytes(), "little")
    return _Reader(packed[_align(end) :]).read(json.loads(packed[HEAD:end].tobytes()))


def _align(count: int) -> int:
    return -(-count // ALIGNED) * ALIGNED


class _Writer:
    """Makes JSON of a value: what JSON does not know becomes {"what it is": its parts}."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self._end = 0

    def write(self, value: Any) -> Any:
        import pyarrow as pa
        import torch
        from pydantic import BaseModel

        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is list:
            return [self.write(inner) for inner in value]
        if type(value) is tuple:
            return {"tuple": [self.write(inner) for inner in value]}
        if isinstance(value, Mapping):
            return {"mapping": [[self.write(key), self.write(inner)] for key, inner in value.items()]}
        if isinstance(value, Path):
            return {"path": str(value)}
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
            return {"array": [value.dtype.str, value.shape, self._add(np.asarray(value))]}
        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().contiguous()
            own = self._add(plain.reshape(-1).view(torch.uint8).numpy())
            return {"tensor": [str(plain.dtype).removeprefix("torch."), tuple(plain.shape), own]}
        if isinstance(value, pa.Array):
            return {"column": self._add_table(pa.table({"": value}))}
        if isinstance(value, pa.Table):
            return {"table": self._add_table(value)}
        if isinstance(value, BaseModel):
            return {"value": [_name(value), self.write(dict(value)), sorted(value.model_fields_set)]}
        if is_dataclass(value) and type(value).__module__.startswith("chain_core."):
            return {
                "value": [_name(value), self.write({part.name: getattr(value, part.name) for part in fields(value)})]
            }
        if isinstance(value, Exception):
            reduced: Any = value.__reduce__()
            _, given, *state = reduced
            return {"error": [_name(value), self.write(given), self.write(state[0] if state else {})]}
        raise TypeError(f"A {type(value).__name__} is not handed from process to process: {value!r:.200}")

    def _add(self, array: np.ndarray) -> tuple[int, int]:
        """Where an array's bytes will lie: the first and the one after the last."""
        first = _align(self._end)
        self._end = first + array.nbytes
        self.arrays.append(array)
        return first, self._end

    def _add_table(self, table: Any) -> tuple[int, int]:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return self._add(np.frombuffer(sink.getvalue(), np.uint8))


class _Reader:
    """Makes a value of JSON and the arrays' bytes."""

    def __init__(self, arrays: np.ndarray) -> None:
        self._arrays = arrays

    def read(self, told: Any) -> Any:
        if isinstance(told, list):
            return [self.read(inner) for inner in told]
        if not isinstance(told, dict):
            return told
        [(kind, parts)] = told.items()
        readers: dict[str, Callable[[Any], Any]] = {
            "tuple": lambda parts: tuple(self.read(inner) for inner in parts),
            "mapping": lambda parts: {self.read(key): self.read(inner) for key, inner in parts},
            "path": Path,
            "array": lambda parts: self._cut(parts[2]).view(parts[0]).reshape(parts[1])[()],
            "tensor": lambda parts: self._read_tensor(*parts),
            "column": lambda parts: _join(self._read_table(parts)[""]),
            "table": self._read_table,
            "value": lambda parts: _build_value(_find(parts[0]), self.read(parts[1]), *parts[2:]),
            "error": lambda parts: _build_error(_find(parts[0]), *map(self.read, parts[1:])),
        }
        return readers[kind](parts)

    def _cut(self, place: tuple[int, int]) -> np.ndarray:
        return self._arrays[slice(*place)]

    def _read_tensor(self, dtype: str, shape: list[int], place: tuple[int, int]) -> Any:
        import torch

        return torch.from_numpy(self._cut(place)).view(getattr(torch, dtype)).reshape(shape)

    def _read_table(self, place: tuple[int, int]) -> Any:
        import pyarrow as pa

        return pa.ipc.open_stream(pa.py_buffer(self._cut(place))).read_all()


def _join(column: Any) -> Any:
    """A column as one array."""
    import pyarrow as pa

    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([pa.array([], column.type), *column.chunks])


def _name(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _find(name: str) -> Any:
    """A class of this package, or an error of Python's or torch's, by its name. Raises TypeError for any other."""
    module, _, own = name.partition(":")
    if not module.startswith("chain_core.") and module not in ("builtins", "torch"):
        raise TypeError(f"{name} is not taken from another process")
    kind = getattr(import_module(module), own)
    if not isinstance(kind, type) or (not module.startswith("chain_core.") and not issubclass(kind, Exception)):
        raise TypeError(f"{name} is not taken from another process")
    return kind


def _build_value(kind: Any, parts: dict[str, Any], given: list[str] | None = None) -> Any:
    """A dataclass, or a config's model as it was when it was checked."""
    return kind(**parts) if given is None else kind.model_construct(set(given), **parts)


def _build_error(kind: Any, given: tuple[Any, ...], state: Mapping[str, Any]) -> Exception:
    error = kind(*given)
    error.__dict__.update(state)
    return error
