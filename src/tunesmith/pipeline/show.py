"""Rendered examples for the eye: what the model sees, and which tokens it learns to predict."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from tunesmith.data.example import Example
from tunesmith.data.sampling import fixed_sample
from tunesmith.model.families import Family
from tunesmith.pipeline.steps import Steps

TRAINED, SEEN, CONTROL = "bold green", "dim", "reverse"


def rendered_examples(steps: Steps, number: int) -> Iterator[Text]:
    """A fixed sample of the first stage's training examples, coloured."""
    family = steps.family
    task, stage = steps.experiment.task, steps.experiment.stages[0]
    for record in fixed_sample(steps.stage_records(stage), number, steps.experiment.seed):
        example = family.render(task.conversation(record, steps.shots), stage.trained)
        yield coloured(example, family)


def coloured(example: Example, family: Family) -> Text:
    """One example as text. Trained tokens also stand between ⟦ ⟧, so that they show without colours."""
    num_trained = int(example.trained.sum())
    head = (
        f"{example.record}: {len(example)} tokens, {num_trained} trained ({num_trained / len(example):.1%})\n"
    )
    text = Text(head, style="bold")
    tokenizer = family.tokenizer
    # Many tokenizers name only the end of text as special; the other control tokens are those that were added.
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    before = False
    for run_of_tokens, trained, control in runs(example, special):
        if trained != before:
            text.append("⟦" if trained else "⟧")
        style = f"{TRAINED if trained else SEEN}{f' {CONTROL}' if control else ''}"
        text.append(str(tokenizer.decode(run_of_tokens, clean_up_tokenization_spaces=False)), style=style)
        before = trained
    return text.append("⟧\n" if before else "\n")


def runs(example: Example, special: set[int]) -> Iterator[tuple[list[int], bool, bool]]:
    """Neighbouring tokens that are alike: their ids, whether they are trained, whether they are control tokens."""
    run: list[int] = []
    kind = (False, False)
    for token, trained in zip(example.tokens.tolist(), example.trained.tolist(), strict=True):
        if run and kind != (trained, token in special):
            yield run, *kind
            run = []
        kind = (trained, token in special)
        run.append(token)
    yield run, *kind
