"""The folder is the registry: `kind: lora` on the shelf `tunesmith.methods` is `Lora` in `lora.py`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Field

from tunesmith.errors import ExperimentError, did_you_mean


@dataclass(frozen=True)
class Shelf:
    """A package of which every module is one item, its class named after the file (`yes_no.py` has `YesNo`).

    Modules on a shelf are imported when an experiment file is read, so none imports torch at its top.
    """

    package: str

    def kinds(self) -> list[str]:
        """Names of the items, sorted: `yes-no` for `yes_no.py`."""
        spec = importlib.util.find_spec(self.package)
        assert spec is not None, self.package
        modules = pkgutil.iter_modules(spec.submodule_search_locations)
        return sorted(module.name.replace("_", "-") for module in modules if not module.name.startswith("_"))

    def item(self, kind: str) -> Any:
        """The class or function of this kind; ExperimentError names what is on the shelf."""
        if kind not in self.kinds():
            possible = self.kinds()
            raise ExperimentError(
                f"{self.package.rpartition('.')[2]} has no {kind!r} ({', '.join(possible)})."
                + did_you_mean(kind, possible)
            )
        file_name = kind.replace("-", "_")
        module = importlib.import_module(f"{self.package}.{file_name}")
        class_name = "".join(word.capitalize() for word in file_name.split("_"))
        return vars(module).get(class_name) or vars(module)[file_name]

    def union(self) -> Any:
        """The settings of any item, told apart by `kind`; a bare word stands for `{kind: word}`."""
        items = tuple(self.item(kind) for kind in self.kinds())
        one = Annotated[Union[items], Field(discriminator="kind")] if len(items) > 1 else items[0]  # noqa: UP007
        word: Any = Literal[tuple(self.kinds())]
        return Annotated[one, BeforeValidator(_word_as_kind, json_schema_input_type=word | one)]


def _word_as_kind(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value
