from __future__ import annotations

from torch import nn

from tunesmith.methods.full import Full


def test_every_weight_is_trained_and_a_tied_one_once() -> None:
    embedding, head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    head.weight = embedding.weight
    part = {
        "embed": embedding,
        "norm": nn.LayerNorm(3),
        "head": head,
        "block": nn.Sequential(nn.Linear(3, 3)),
    }
    assert Full().weights(part) == ["embed.weight", "norm.weight", "norm.bias"]
    assert Full().adapter(part) is None
