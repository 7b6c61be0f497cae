"""The registry of precisions: one file per value of `model.weights`.

A file's class says how weights in this precision are loaded and prepared, how their matrix products are computed, how
many bytes they take, what a product allocates (for forecasts of memory), and whether a machine supports them (for
`tunesmith doctor`). Classes are imported when an experiment is read, so no file imports torch at its top.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from tunesmith.config.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.precision.matmul_backends import MatmulBackend, Padding

PRECISIONS = Registry("tunesmith.precision.formats")
MATMUL = "_matmul_precision"
"""Attribute of a layer that names the precision whose backend multiplies its weights, if not the one they are
stored in."""


class Precision:
    """A precision of weights that are not trained. The defaults are those of plain floating-point weights."""

    is_quantized: ClassVar[bool] = False
    """Quantized weights cannot be trained themselves."""
    goes_alone: ClassVar[bool] = False
    """Whether no part of a model can have another precision than this one."""
    at_ends: ClassVar[str | None] = None
    """Precision of the first two and last two layers of a long stack, where rounding is felt most; None: this one."""
    is_suggested: ClassVar[bool] = False
    """Whether `tunesmith audit` says which GPUs suffice with it. Set for precisions with the best quality at their
    size."""
    loads_on_device: ClassVar[bool] = True
    """Whether the weights' files are read straight to the device. If not, `prepare` moves the model there."""
    peft_ignores_scales: ClassVar[bool] = False
    """Whether PEFT would read the weights without their scales, so that DoRA is refused."""
    package: ClassVar[str | None] = None
    """Distribution that must be installed, of the extra `tunesmith[quant]`."""

    fused_copy: ClassVar[Literal["compute", "fp8"] | None] = None
    """Form of the weights that a fused product makes of them first: in the products' dtype, in 8 bits, or none."""
    multiplies_in_fp8: ClassVar[bool] = False
    """Whether the products of a single layer are in 8 bits: its input is cast, and its weights are not copied."""
    keeps_input: ClassVar[bool] = False
    """Whether the backward pass of a single layer needs its input."""

    @property
    def kind(self) -> str:
        """The value of `model.weights`."""
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    @property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of the matrix products, and of weights that are not quantized."""
        import torch

        return torch.bfloat16

    def load_arguments(self, skipped: Sequence[str] = ()) -> dict[str, Any]:
        """Keyword arguments of transformers' `from_pretrained`.

        Modules whose full names begin with one of `skipped` stay in bf16. Raises ModelError if a package is missing.
        """
        return {}

    def prepare(
        self, model: nn.Module, names: Collection[str], device: torch.device, kernels: str
    ) -> str | None:
        """Prepare a model that was just loaded; return a note for the log.

        `names` are the full names of the linear layers that have this precision. `kernels` is what `model.kernels`
        was resolved to.
        """
        return None

    def holds(self, layer: nn.Module) -> bool:
        """Whether the layer itself holds quantized weights stored in this precision."""
        return False

    def matmul(self, layers: Sequence[Any], compute: torch.dtype, padding: Padding) -> MatmulBackend | None:
        """The backend for these layers, whose weights are stacked; None if it does not serve them."""
        return None

    def can_fuse(self, padding: Padding) -> bool:
        """Whether `matmul` serves layers in this precision with this padding."""
        return True

    def dequantize(self, model: Any) -> nn.Module:
        """The model with the weights that `holds` recognises in 16 bits."""
        return model  # type: ignore[no-any-return]

    def weight_bytes(self, rows: int, columns: int) -> int:
        """Bytes of a weight matrix of this shape, scales included."""
        return 2 * rows * columns

    def probe(self, device: torch.device) -> str:
        """Try it on the device and say what works; raises an error that says what does not."""
        raise NotImplementedError


@runtime_checkable
class HasMatmulBackend(Protocol):
    """A layer that brings a backend of its own, such as the fake layers of a memory forecast."""

    def matmul_backend(self, layers: Sequence[Any], padding: Padding) -> MatmulBackend | None:
        """The backend for the stacked weights of layers of this class; None if there is none."""


def precision_of(kind: str) -> Precision:
    """The precision of this name; ExperimentError names the possible ones."""
    return PRECISIONS.item(kind)()  # type: ignore[no-any-return]


def all_precisions() -> Iterator[Precision]:
    """All precisions, sorted by name."""
    return map(precision_of, PRECISIONS.kinds())


def frozen_matmul(layers: Sequence[Any], compute: torch.dtype, padding: Padding) -> MatmulBackend | None:
    """The backend for the stacked weights of frozen layers; None if no precision serves them together."""
    if len({type(layer) for layer in layers}) > 1:
        return None
    if isinstance(layers[0], HasMatmulBackend):
        return layers[0].matmul_backend(layers, padding)
    marked = {vars(layer).get(MATMUL) for layer in layers} - {None}
    kinds = [*sorted(marked), *(kind for kind in PRECISIONS.kinds() if kind not in marked)]
    backends = (precision_of(kind).matmul(layers, compute, padding) for kind in kinds)
    return next((backend for backend in backends if backend is not None), None)


def check_error(actual: torch.Tensor, expected: torch.Tensor, limit: float) -> None:
    """Raise RuntimeError if the relative error is above the limit: what loads may still compute nonsense."""
    error = float((actual.float() - expected).norm() / expected.norm())
    if not error < limit:
        raise RuntimeError(f"loads, but its values are wrong (relative error {error:.2g})")
