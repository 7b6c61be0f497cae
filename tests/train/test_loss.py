from pathlib import Path

import torch

from tests.train.small import examples, loaded
from tunesmith.data.collate import collate
from tunesmith.train.loss import answer_loss


def test_the_loss_is_that_of_transformers_summed_over_the_trained_tokens(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    for example in examples(6):
        batch = collate([example])
        labels = torch.from_numpy(example.tokens).long()
        labels[~torch.from_numpy(example.trained)] = -100
        reference = model.model(
            input_ids=batch.tokens[None], labels=labels[None], segments=batch.segments
        ).loss
        torch.testing.assert_close(answer_loss(model, batch), reference * batch.num_trained)


def test_a_packed_batch_gives_the_loss_and_the_gradients_of_its_examples_alone(tmp_path: Path) -> None:
    model = loaded(tmp_path, "qwen3")
    model.model.requires_grad_(True)
    given = list(examples(8))
    packed = answer_loss(model, collate(given))
    packed.backward()  # type: ignore[no-untyped-call]
    together = {name: weight.grad.clone() for name, weight in model.model.named_parameters()}
    model.model.zero_grad()
    alone = torch.zeros(())
    for example in given:
        nats = answer_loss(model, collate([example]))
        nats.backward()  # type: ignore[no-untyped-call]
        alone += nats.detach()
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
    for name, weight in model.model.named_parameters():
        torch.testing.assert_close(together[name], weight.grad, rtol=1e-4, atol=1e-5)
