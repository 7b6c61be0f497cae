"""When lines are worth a graph and where gradients go; on a GPU, that replays learn what layers run one by one do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.kernels.fusion.test_patch import LORA, TEXT, trainable_of
from tests.tiny import tiny_model
from tunesmith.batching.collator import collate, to_device
from tunesmith.kernels.fusion import cuda_graphs as module
from tunesmith.kernels.fusion.cuda_graphs import (
    MAX_LAYER_FLOP,
    NUM_EAGER_RUNS,
    AttentionBlocks,
    CapturedGraph,
    GraphedLayers,
    GraphInputs,
    GraphKey,
    LayerRun,
)
from tunesmith.kernels.fusion.patch import FUSED, iter_fused_layers
from tunesmith.model.trainable import Trainable
from tunesmith.records.conversation import Conversation, Turn
from tunesmith.train.loss import answer_loss

WIDTH = 8


class Uncaptured(CapturedGraph):
    """A graph that does its work anew each time, for machines without a GPU."""

    def __init__(self, layers: LayerRun, key: GraphKey, _: Any, gradients: list[Tensor], __: Any) -> None:
        self._run, self._weights = layers
        self.key, self._gradients = key, gradients

    def forward(self, given: GraphInputs) -> Tensor:
        with torch.enable_grad():
            self._rows = given.x.detach().requires_grad_(self.key.needs_input_grad)
            self._out = self._run(self._rows, *given[1:], self.key.max_length)
        return self._out.detach()

    def backward(self, gradient: Tensor) -> Tensor | None:
        wanted = [self._rows] * self.key.needs_input_grad + self._weights
        found = torch.autograd.grad(self._out, wanted, gradient)
        torch._foreach_add_(self._gradients, list(found[-len(self._weights) :]))
        return found[0] if self.key.needs_input_grad else None


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> nn.Linear:
    monkeypatch.setattr(module, "CapturedGraph", Uncaptured)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("", (), {"total_memory": 1}))
    torch.manual_seed(0)
    return nn.Linear(WIDTH, WIDTH)


def stack_of(layer: nn.Linear, work: float = 1.0) -> GraphedLayers:
    twin = nn.Linear(WIDTH, WIDTH)
    for one, weight in zip(twin.parameters(), layer.parameters(), strict=True):
        one.data = weight.data
    return GraphedLayers(layers_of(layer), layers_of(twin), work)


def layers_of(layer: nn.Linear) -> LayerRun:
    return LayerRun(lambda rows, *_: layer(rows).tanh(), list(layer.parameters()))


def line(tokens: int) -> tuple[Tensor, Tensor, Tensor, AttentionBlocks]:
    angles = torch.zeros(tokens, 4)
    blocks = torch.tensor([[0, tokens, 0]], dtype=torch.int32)
    return torch.randn(1, tokens, WIDTH), angles, angles, AttentionBlocks(blocks, tokens)


def test_a_line_is_worth_a_graph_when_its_like_was_seen_often_enough(layer: nn.Linear) -> None:
    stack = stack_of(layer)
    for number, tokens in enumerate((100,) * NUM_EAGER_RUNS + (700, 90)):
        hidden, *more = line(tokens)
        out = stack(hidden, *more)
        torch.testing.assert_close(out, layer(hidden).tanh())
        assert stack.is_cached_output(out)
        assert not stack.is_cached_output(hidden)
        assert len(stack._graphs) == (number > NUM_EAGER_RUNS)


def test_a_line_that_is_filled_up_says_of_every_token_to_which_segment_it_belongs() -> None:
    hidden, cosine, sine, where = line(300)
    filled = GraphInputs(hidden.squeeze(0), cosine, sine, where.blocks).padded(GraphKey(512, 128, 65, False))
    assert [len(one) for one in filled[:3]] == [512] * 3
    torch.testing.assert_close(filled.x[:300], hidden[0])
    assert not filled.x[300:].any()
    assert filled.blocks.tolist() == [[0, 300, 0], [300, 64, 0], [364, 64, 0], [428, 64, 0], [492, 20, 0]]


def test_where_work_hides_the_start_of_kernels_there_is_no_graph(layer: nn.Linear) -> None:
    stack = stack_of(layer, work=MAX_LAYER_FLOP / 50)
    assert all(stack(*line(60)) is None for _ in range(NUM_EAGER_RUNS + 2))


def test_gradients_add_up_however_passes_are_mixed(layer: nn.Linear) -> None:
    stack = stack_of(layer)
    given = [line(100) for _ in range(5)]
    for one in given[:NUM_EAGER_RUNS]:
        stack(*one)
    layer(given[0][0]).tanh().sum().backward()
    for one in given[:2]:
        stack(*one).sum().backward()
    layer(given[2][0]).tanh().sum().backward()
    stack(*given[3]).sum().backward()
    found = [weight.grad.clone() for weight in layer.parameters() if weight.grad is not None]
    layer.zero_grad(set_to_none=True)
    for index in (0, 0, 1, 2, 3):
        layer(given[index][0]).tanh().sum().backward()
    wanted = [weight.grad for weight in layer.parameters()]
    torch.testing.assert_close(found, wanted)
    layer.zero_grad(set_to_none=True)
    stack(*given[4]).sum().backward()
    once = [weight.grad.clone() for weight in layer.parameters() if weight.grad is not None]
    layer.zero_grad(set_to_none=True)
    layer(given[4][0]).tanh().sum().backward()
    torch.testing.assert_close(once, [weight.grad for weight in layer.parameters()])


@pytest.mark.parametrize("later", [90, 700])
def test_a_backward_pass_after_another_replay_is_refused(layer: nn.Linear, later: int) -> None:
    stack = stack_of(layer)
    for tokens in (100, 700) * NUM_EAGER_RUNS:
        stack(*line(tokens))
    first, second = stack(*line(100)), stack(*line(later))
    with pytest.raises(RuntimeError, match="cuda_graphs: false"):
        first.sum().backward()
    second.sum().backward()
    with pytest.raises(RuntimeError, match="cuda_graphs: false"):
        second.sum().backward()


def test_what_cannot_be_recorded_is_run_as_it_is(
    layer: nn.Linear, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stack = stack_of(layer)
    for _ in range(NUM_EAGER_RUNS):
        stack(*line(100))
    stack(*line(100)).sum().backward()

    def fail(*_: Any) -> None:
        raise RuntimeError("not on this day")

    monkeypatch.setattr(module, "CapturedGraph", fail)
    for _ in range(NUM_EAGER_RUNS + 1):
        stack(*line(700))
    assert "not on this day" in caplog.text
    assert not stack._graphs
    hidden, *more = line(100)
    torch.testing.assert_close(stack(hidden, *more), layer(hidden).tanh())


def test_the_gradient_of_what_goes_in_comes_back(layer: nn.Linear) -> None:
    stack = stack_of(layer)
    hidden, *more = line(100)
    hidden.requires_grad_()
    for _ in range(NUM_EAGER_RUNS):
        stack(hidden, *more)
    (found,) = torch.autograd.grad(stack(hidden, *more).sum(), hidden)
    (wanted,) = torch.autograd.grad(layer(hidden).tanh().sum(), hidden)
    torch.testing.assert_close(found, wanted)


def test_sizes_come_in_steps_so_that_few_graphs_are_enough(layer: nn.Linear) -> None:
    stack = stack_of(layer)
    keys = set()
    for hidden, *angles, where in map(line, range(15_800, 16_385, 40)):
        keys.add(stack._key(GraphInputs(hidden.squeeze(0), *angles, where.blocks), where.max_length))  # type: ignore[call-arg]
    assert {key.num_tokens for key in keys if key} == {15_872, 16_384}
    assert len(keys) == 2


def passes(trainable: Trainable, asked: list[list[Conversation]]) -> list[tuple[float, list[Tensor]]]:
    """Loss and gradients of updates of two micro-batches."""
    loaded, found = trainable.loaded, []
    loaded.train()
    weights = [weight for group in trainable.groups for weight in group.parameters.values()]
    for texts in asked:
        nats = 0.0
        for batch in (texts[:1], texts):
            moved = to_device(collate([loaded.family.render(one) for one in batch]), loaded.device)
            with torch.random.fork_rng(devices=[]):
                loss = answer_loss(loaded, moved)
            loss.backward()  # type: ignore[no-untyped-call]
            nats += loss.item()
        found.append((nats, [weight.grad.clone() for weight in weights if weight.grad is not None]))
        for weight in weights:
            weight.grad = None
    return found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs are a GPU's")
@pytest.mark.parametrize(("model_type", "num_layers"), [("qwen2", 2), ("qwen3", 2), ("qwen3", 28)])
@pytest.mark.parametrize("weights", ["bf16", "nf4"])
def test_on_a_gpu_replays_learn_what_layers_do(
    tmp_path: Path, model_type: str, num_layers: int, weights: str
) -> None:
    place = tiny_model(tmp_path / "model", model_type, layers=num_layers)
    longer = Conversation("a:3", (Turn.of("user", "And what is it all for? " * 9),), "Nobody knows.")
    asked = [TEXT, [longer, *TEXT], TEXT, [longer], [longer, *TEXT], TEXT]
    results = []
    for cuda_graphs in (False, True):
        trainable = trainable_of(
            place, False, LORA, weights=weights, attention="varlen", kernels="fused", device="cuda",
            cuda_graphs=cuda_graphs,
        )  # fmt: skip
        results.append(passes(trainable, asked))
        layer = next(iter_fused_layers(trainable.loaded.model))
        stack: Any = vars(layer)[FUSED].graphs
        assert (stack is not None) == cuda_graphs
    assert stack._graphs
    assert not stack._is_off
    for (loss, gradients), (plain, wanted) in zip(results[1], results[0], strict=True):
        assert loss == pytest.approx(plain, rel=1e-3)
        for one, right in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(one, right, rtol=0.05, atol=0.02 * float(right.abs().max()))
