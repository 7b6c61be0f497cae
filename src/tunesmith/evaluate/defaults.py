"""Which engine answers and which metrics are reported, from the settings and what the task offers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from tunesmith.config.registry import Registry
from tunesmith.errors import ExperimentError, did_you_mean
from tunesmith.evaluate.engines import Engine
from tunesmith.metrics import Metric, MetricFunction
from tunesmith.tasks import Task

if TYPE_CHECKING:
    from tunesmith.config.experiment import Evaluate

_METRICS = Registry("tunesmith.metrics")


def resolve_engine(task: Task, settings: Evaluate, untrained: bool = False) -> Engine:
    """The engine that was asked for, or the one that the task prefers. A head is nothing that an `untrained` model
    has, so that one answers in another way."""
    registry = Registry("tunesmith.evaluate.engines")
    if untrained and task.head is not None:
        return registry.item(task.untrained_engine)()  # type: ignore[no-any-return]
    engine: Engine = settings.engine or registry.item(task.default_engine)()
    return engine


def engine_without_references(task: Task, settings: Evaluate) -> Engine:
    """The engine for records whose answer is not known: as `resolve_engine`, but that the model writes its answers
    where no more than the reference could be weighed."""
    engine = resolve_engine(task, settings)
    if engine.gives == "scores" and task.labels_in_order is None:
        written: Engine = Registry("tunesmith.evaluate.engines").item("generate")()
        return written
    return engine


def resolve_metrics(task: Task, settings: Evaluate) -> tuple[str, ...]:
    """Names of the metrics to report, the one that tells the best checkpoint among them.

    Of the task's own list, those that the engine cannot give are left out. ExperimentError names all metrics
    that were asked for and do not exist, or cannot be had of this task and engine.
    """
    if faults := metric_faults(task, settings):
        raise ExperimentError("\n".join(f"{path}: {what}" for path, what in faults))
    asked = _asked(settings)
    if settings.metrics is not None and asked:
        return tuple(dict.fromkeys(asked))
    return tuple(dict.fromkeys([*_own(task, settings), *asked]))


def metric_faults(task: Task, settings: Evaluate) -> list[tuple[str, str]]:
    """What is wrong with the metrics that are asked for: setting, and what is possible there."""
    named = [(f"evaluate.metrics.{place}", name) for place, name in enumerate(settings.metrics or [])]
    if settings.metric is not None:
        named.append(("evaluate.metric", settings.metric.partition("/")[0]))
    faults = [(path, fault) for path, name in named if (fault := _fault(name, task, settings))]
    if settings.metric is not None and not faults and (fault := _fault_of_primary(settings.metric, task)):
        faults = [("evaluate.metric", fault)]
    if not _asked(settings) and not _own(task, settings):
        engine = resolve_engine(task, settings).kind
        what = f"with {engine!r} none of the metrics of task {task.kind!r} can be computed"
        ways = f"Leave evaluate.engine out, or use {task.default_engine!r}"
        faults.append(("evaluate.engine", f"{what} ({', '.join(task.own_metrics)}). {ways}"))
    return faults


def _asked(settings: Evaluate) -> list[str]:
    """Names of the metrics that the settings name."""
    primary = [] if settings.metric is None else [settings.metric.partition("/")[0]]
    return [*(settings.metrics or []), *primary]


def _own(task: Task, settings: Evaluate) -> list[str]:
    """The task's own metrics that can be computed."""
    return [name for name in task.own_metrics if not _missing(name, task, settings)]


def possible_metrics(names: Sequence[str], task: Task, settings: Evaluate) -> list[str]:
    """Those of the metrics that task and engine give what they are made of."""
    return [name for name in names if not _missing(name, task, settings)]


def primary_metric(task: Task, settings: Evaluate) -> tuple[str, Literal["higher", "lower"]]:
    """Name of the metric that tells the best checkpoint, and whether `higher` or `lower` is better."""
    name = settings.metric or resolve_metrics(task, settings)[0]
    return name, metric_of(name).better


def metric_of(name: str) -> Metric:
    """How the numbers of a metric, or of one class of it, are to be read."""
    metric: Metric = _module(name).METRIC
    return metric


def meaning_of(name: str) -> str:
    """What a metric is, in a phrase: what its file says of it.

    >>> meaning_of("accuracy")
    'share of answers that are right'
    """
    first = str(_module(name).__doc__).partition("\n\n")[0]
    return " ".join(first.partition(": ")[2].split()).rstrip(".")


def function_of(name: str) -> MetricFunction:
    """The function that computes a metric."""
    function: MetricFunction = vars(_module(name))[name]
    return function


def _module(name: str):  # type: ignore[no-untyped-def]  # a module's contents have no static type
    return import_module(f"tunesmith.metrics.{name.partition('/')[0]}")


def _missing(name: str, task: Task, settings: Evaluate) -> list[str]:
    """What a metric is made of and neither task nor engine gives."""
    given = {*task.given_marks, resolve_engine(task, settings).gives} | (
        {"classes"} if task.labels_in_order and not task.is_multi else set()
    )
    return [need for need in metric_of(name).needs if need not in given]


def _fault(name: str, task: Task, settings: Evaluate) -> str | None:
    """What is wrong with a metric that is asked for, with those of this task and engine."""
    known = [kind.replace("-", "_") for kind in _METRICS.kinds()]
    missing = _missing(name, task, settings) if name in known else []
    if name in known and not missing:
        return None
    possible = [one for one in known if not _missing(one, task, settings)]
    if name not in known:
        begins = [one for one in possible if one.startswith(name)]
        near = did_you_mean(name, possible) or (f" Did you mean {begins[0]!r}?" if begins else "")
        return f"there is no metric {name!r}; possible here: {', '.join(possible)}.{near}"
    engine = resolve_engine(task, settings).kind
    return (
        f"{name!r} needs {', '.join(missing)}, which task {task.kind!r} "
        f"with engine {engine!r} does not give. Possible here: {', '.join(possible)}"
    )


def _fault_of_primary(name: str, task: Task) -> str | None:
    """What is wrong with an existing metric as the one that tells the best checkpoint."""
    metric, slash, label = name.partition("/")
    labels = task.labels_in_order or ()
    if not metric_of(name).per_class:
        return f"{metric!r} is one number; leave '/{label}' out" if slash else None
    if slash and label not in labels:
        return f"there is no class {label!r} ({', '.join(labels)}).{did_you_mean(label, labels)}"
    if not slash and task.positive_index is None:
        return (
            f"{metric!r} is one number a class. Name one, such as '{metric}/{labels[0]}', set task.positive, or take "
            "a metric of all classes, such as 'f1_macro'"
        )
    return None
