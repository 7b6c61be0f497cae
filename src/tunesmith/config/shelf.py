"""The folder is the registry: `kind: lora` on the shelf `tunesmith.methods` is `Lora` in `lora.py`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from tunesmith.errors import ExperimentError, did_you_mean


@dataclass(frozen=True)
class Shelf:
    """A package of which every module is one item, its class named after the file (`yes_no.py` has `YesNo`).

    An item's module is imported when an experiment file names its kind, so none imports torch at its top.
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
        """A type for the settings of any item, told apart by `kind`; a bare word stands for `{kind: word}`."""
        return type("AnyItem", (AnyItem,), {"shelf": self})


class AnyItem:
    """Stands in an annotation for the settings of all items of a shelf. Only the module of the kind that a value
    names is imported, so the grammar costs as little with a hundred kinds as with ten."""

    shelf: ClassVar[Shelf]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {
            kind: core_schema.no_info_plain_validator_function(partial(_settings, cls.shelf, kind))
            for kind in cls.shelf.kinds()
        }
        either = core_schema.tagged_union_schema({**choices}, discriminator="kind")
        return core_schema.no_info_before_validator_function(_word_as_kind, either)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        kinds = cls.shelf.kinds()
        choices = {kind: cls.shelf.item(kind).__pydantic_core_schema__ for kind in kinds}
        either = core_schema.tagged_union_schema(choices, discriminator="kind")
        return handler(core_schema.union_schema([core_schema.literal_schema(kinds), either]))


def _settings(shelf: Shelf, kind: str, value: Any) -> Any:
    return shelf.item(kind).model_validate(value)


def _word_as_kind(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value
