"""From a packed batch to the nats of its trained tokens: the line that everything else exists for."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from tunesmith.data.batch import Batch
from tunesmith.model.loaded import LoadedModel


def answer_loss(loaded: LoadedModel, batch: Batch) -> Float[Tensor, ""]:
    """Sum over the batch's trained tokens of -ln p(token | what its own example has before it), in fp32.

    Logits are computed only where a trained token is predicted. Dividing by the trained tokens of the whole update is
    the loop's part, so that the gradient does not depend on how an update is cut into micro-batches.
    """
    with loaded.precision():
        logits = loaded.logits(batch)
    return functional.cross_entropy(logits.float(), batch.targets, reduction="sum")
