"""The JSON schema of experiment files (draft 2020-12), by which editors complete and check them."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from tunesmith.config.experiment import Experiment
from tunesmith.config.settings import Duration


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, but a default duration is shown as it is written."""

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Duration) else super().encode_default(dft)


def experiment_schema() -> dict[str, Any]:
    """The schema: every setting with its docstring, unknown keys refused, variants left open."""
    schema = Experiment.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": "tunesmith experiment"}


def schema_text() -> str:
    """The schema as indented JSON."""
    return json.dumps(experiment_schema(), indent=2, ensure_ascii=False) + "\n"
