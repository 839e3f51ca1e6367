"""Matrix products: those that a piece of code makes, counted, and how long they take by themselves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Product:
    """(batch, m, k) x (batch, k, n) in one precision; `turned` operands are read across."""

    batch: int
    m: int
    k: int
    n: int
    dtype: torch.dtype
    turned: tuple[bool, bool] = (False, False)

    @property
    def multiply_adds(self) -> int:
        return self.batch * self.m * self.k * self.n


def read_operands(a: Tensor, b: Tensor) -> Product:
    batch = a.shape[0] if a.ndim == 3 else 1
    turned = (a.stride(-1) != 1 and a.shape[-1] > 1, b.stride(-1) != 1 and b.shape[-1] > 1)
    return Product(batch, a.shape[-2], a.shape[-1], b.shape[-1], a.dtype, turned)


def read_attention(query: Tensor, key: Tensor, value: Tensor) -> list[Product]:
    """Of a fused kernel: scores, and their mixture of values."""
    batch, heads, m, size = query.shape
    return [
        Product(batch * heads, m, size, key.shape[2], query.dtype, (False, True)),
        Product(batch * heads, m, key.shape[2], value.shape[3], query.dtype),
    ]


def read_attention_backward(query: Tensor, key: Tensor, value: Tensor) -> list[Product]:
    """Gradients of both operands of both products; the scores that a kernel makes once more are not counted."""
    batch, heads, m, size = query.shape
    n, wide = key.shape[2], value.shape[3]
    return [
        Product(batch * heads, m, wide, n, query.dtype, (False, True)),
        Product(batch * heads, n, m, wide, query.dtype, (True, False)),
        Product(batch * heads, m, n, size, query.dtype),
        Product(batch * heads, n, m, size, query.dtype, (True, False)),
    ]


_PLAIN = {
    torch.ops.aten.mm: 0, torch.ops.aten.bmm: 0,
    torch.ops.aten.addmm: 1, torch.ops.aten.baddbmm: 1,
}  # fmt: skip
"""Operation -> where its first factor stands among its arguments."""
_FUSED = {
    name: read
    for kind, read in (("", read_attention), ("_backward", read_attention_backward))
    for name in (
        f"_scaled_dot_product_flash_attention_for_cpu{kind}", f"_scaled_dot_product_flash_attention{kind}",
        f"_scaled_dot_product_efficient_attention{kind}", f"_scaled_dot_product_cudnn_attention{kind}",
    )
}  # fmt: skip


class ProductCounter(TorchDispatchMode):
    """Notes every matrix product that runs inside, backward passes included, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        if packet in _PLAIN:
            first = _PLAIN[packet]
            self.products.append(read_operands(args[first], args[first + 1]))
        elif packet.__name__ in _FUSED:
            start = 1 if packet.__name__.endswith("_backward") else 0
            self.products += _FUSED[packet.__name__](*args[start : start + 3])
        elif torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            # Without gradients such an operation arrives whole: its parts are what counts.
            with self:
                done = func.decompose(*args, **kwargs)
            if done is not NotImplemented:
                return done
        return func(*args, **kwargs)

    @property
    def multiply_adds(self) -> int:
        return sum(product.multiply_adds for product in self.products)

    def count(self) -> Counter[Product]:
        return Counter(self.products)


def time_products(products: list[Product], device: torch.device, repeats: int = 3) -> float:
    """Seconds of the same products in the same order, on operands that lie ready: the best of some passes."""
    operands = {product: _make(product, device) for product in set(products)}

    def replay() -> None:
        for product in products:
            torch.matmul(*operands[product])

    return time_best(replay, device, repeats)


def _make(product: Product, device: torch.device) -> tuple[Tensor, Tensor]:
    def build(rows: int, columns: int, turned: bool) -> Tensor:
        shape = (columns, rows) if turned else (rows, columns)
        made = torch.randn(product.batch, *shape, device=device).to(product.dtype)
        made = made.transpose(1, 2) if turned else made
        return made[0] if product.batch == 1 else made

    return build(product.m, product.k, product.turned[0]), build(product.k, product.n, product.turned[1])


def time_best(call: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Seconds of the fastest of some calls, after one that is not timed."""
    best = float("inf")
    for number in range(repeats + 1):
        wait(device)
        before = time.perf_counter()
        call()
        wait(device)
        if number:
            best = min(best, time.perf_counter() - before)
    return best


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_peak(device: torch.device, dtype: torch.dtype, size: int | None = None) -> float:
    """Multiply-adds a second of one large square product."""
    size = size or (8192 if device.type == "cuda" else 2048)
    square = Product(1, size, size, size, dtype)
    with torch.inference_mode() if device.type == "cuda" else nullcontext():
        return square.multiply_adds / time_products([square], device, repeats=10 if device.type == "cuda" else 5)
