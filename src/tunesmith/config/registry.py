"""The folder is the registry: `kind: lora` of the registry `tunesmith.methods` is `Lora` in `lora.py`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import partial
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from tunesmith.errors import ExperimentError, did_you_mean


class Registry:
    """Packages of which every module is one item, its class named after the file (`yes_no.py` has `YesNo`).

    An item's module is imported when an experiment file names its kind, so none imports torch at its top.
    """

    def __init__(self, *packages: str) -> None:
        self.packages = packages

    def kinds(self) -> list[str]:
        """Names of the items, sorted: `yes-no` for `yes_no.py`."""
        return sorted(self._modules())

    def item(self, kind: str) -> Any:
        """The class or function of this kind; ExperimentError names the possible kinds."""
        module_name = self._modules().get(kind)
        if module_name is None:
            raise ExperimentError(
                f"{self.packages[0].rpartition('.')[2]} has no {kind!r} ({', '.join(self.kinds())})."
                + did_you_mean(kind, self.kinds())
            )
        file_name = module_name.rpartition(".")[2]
        members = vars(importlib.import_module(module_name))
        return members.get("".join(word.capitalize() for word in file_name.split("_"))) or members[file_name]

    def union(self) -> Any:
        """A type for the settings of any item, told apart by `kind`; a bare word stands for `{kind: word}`."""
        return type("AnyItem", (AnyItem,), {"registry": self})

    def _modules(self) -> dict[str, str]:
        """Full names of the items' modules, by kind."""
        modules = {}
        for package in self.packages:
            spec = importlib.util.find_spec(package)
            assert spec is not None, package
            for module in pkgutil.iter_modules(spec.submodule_search_locations):
                if not module.name.startswith("_"):
                    modules[module.name.replace("_", "-")] = f"{package}.{module.name}"
        return modules


class AnyItem:
    """Stands in an annotation for the settings of all items of a registry. Only the module of the kind that a value
    names is imported, so the grammar costs as little with a hundred kinds as with ten."""

    registry: ClassVar[Registry]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {
            kind: core_schema.no_info_plain_validator_function(partial(_settings, cls.registry, kind))
            for kind in cls.registry.kinds()
        }
        either = core_schema.tagged_union_schema({**choices}, discriminator="kind")
        return core_schema.no_info_before_validator_function(_word_as_kind, either)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        kinds = cls.registry.kinds()
        choices = {kind: cls.registry.item(kind).__pydantic_core_schema__ for kind in kinds}
        either = core_schema.tagged_union_schema(choices, discriminator="kind")
        return handler(core_schema.union_schema([core_schema.literal_schema(kinds), either]))


def _settings(registry: Registry, kind: str, value: Any) -> Any:
    return registry.item(kind).model_validate(value)


def _word_as_kind(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value
