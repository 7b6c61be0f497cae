"""The table: where each setting ended, and how far from where a plain loop did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.same_loss.settings import YARDSTICK, Reference, Setting

ALLOWED = 0.5
"""Per cent of the reference's loss."""
LAST = 10
"""Updates of which the final training loss is the mean."""
HEADER = (
    "| setting | training | held out | off, training, % | off, held out, % | of what was learnt, % | "
    "from plain weights, % | |\n"
    "|---|---|---|---|---|---|---|---|"
)
Results = Mapping[Setting | Reference, Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """One setting beside its reference."""

    setting: Setting
    training: float
    """Mean loss of the last ten updates."""
    held_out: float
    off_training: float
    """Difference to the reference, per cent of its loss."""
    off_held_out: float
    of_learnt: float
    """The held-out difference in per cent of how far the reference's loss fell."""
    from_plain: float | None
    """The held-out difference to the reference on weights that are not quantised, for quantised ones."""
    begins_alike: bool
    """Whether adapters and head begin by themselves, but for rounding, where they do in fp32 on a CPU."""

    @property
    def is_same(self) -> bool:
        """Whether it begins alike and both losses lie within what is allowed; one that is not a number does not."""
        return self.begins_alike and self._is_near

    @property
    def _is_near(self) -> bool:
        return abs(self.off_training) <= ALLOWED and abs(self.off_held_out) <= ALLOWED

    def __str__(self) -> str:
        from_plain = "" if self.from_plain is None else f"{self.from_plain:+.3f}"
        verdict = (
            f"**over {ALLOWED} %**"
            if not self._is_near
            else "ok"
            if self.begins_alike
            else "**begins elsewhere**"
        )
        return (
            f"| {self.setting.name} | {self.training:.5f} | {self.held_out:.5f} | {self.off_training:+.4f} | "
            f"{self.off_held_out:+.4f} | {self.of_learnt:+.2f} | {from_plain} | {verdict} |"
        )


def row(setting: Setting, results: Results) -> Row | str:
    """The setting's row, or a line that says why there is none."""
    own, beside = results.get(setting), results.get(setting.reference)
    if own is None or "error" in own:
        return f"| {setting.name}: {'did not run' if own is None else own['error']} |"
    if beside is None or "error" in beside:
        return f"| {setting.name}: there is no reference ({'did not run' if beside is None else beside['error']}) |"
    plain = results.get(Reference(setting.method, sees=setting.sees), {})
    is_quantised = setting.reference.weights != "fp32"
    return Row(
        setting,
        final(own),
        own["after"],
        off(final(own), final(beside)),
        off(own["after"], beside["after"]),
        100 * (own["after"] - beside["after"]) / (beside["before"] - beside["after"]),
        off(own["after"], plain["after"]) if is_quantised and "after" in plain else None,
        own["begins_alike"],
    )


def final(result: Mapping[str, Any]) -> float:
    """Mean training loss of the last updates."""
    last: list[float] = result["losses"][-LAST:]
    return sum(last) / len(last)


def off(value: float, right: float) -> float:
    """The difference in per cent."""
    return 100 * (value / right - 1)


def of_reference(reference: Reference, results: Results) -> str:
    """A reference's line."""
    found = results.get(reference, {"error": "did not run"})
    if "error" in found:
        return f"| {reference.name}: {found['error']} |"
    return f"| {reference.name} | {final(found):.5f} | {found['after']:.5f} (from {found['before']:.5f}) | | | | | |"


def of_yardstick(reference: Reference, results: Results) -> str:
    """How far the reference's own loop ends from it in bf16."""
    own, right = (
        results.get(YARDSTICK, {"error": "did not run"}),
        results.get(reference, {"error": "did not run"}),
    )
    if "error" in own or "error" in right:
        return f"| {YARDSTICK.name}: {own.get('error', 'there is no reference')} |"
    of_learnt = 100 * (own["after"] - right["after"]) / (right["before"] - right["after"])
    return (
        f"| {YARDSTICK.name} | {final(own):.5f} | {own['after']:.5f} | {off(final(own), final(right)):+.4f} | "
        f"{off(own['after'], right['after']):+.4f} | {of_learnt:+.2f} | | |"
    )


def table(results: Results, settings: list[Setting]) -> str:
    """All of it, each reference before the settings that are held to it."""
    lines, references = [HEADER], list(dict.fromkeys(setting.reference for setting in settings))
    for reference in references:
        lines.append(of_reference(reference, results))
        if replace(YARDSTICK, compute="fp32") == reference:
            lines.append(of_yardstick(reference, results))
        lines += [str(row(setting, results)) for setting in settings if setting.reference == reference]
    return "\n".join(lines)
