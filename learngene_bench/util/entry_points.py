"""Finds what implements a contract: a name in an entry-point group of any installed package.

First-party classes are announced in `pyproject.toml`, in the same way as anybody else's. Nothing is imported before it
is asked for by name, so that a broken plugin disturbs only those who use it.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from learngene_bench.util.errors import UserError, describe_error, unknown

Contract = TypeVar("Contract")

_SUITE = "learngene_bench"
"""First part of the names of all entry-point groups."""


def names_of_others() -> list[str]:
    """Lists the installed packages that announce something for the suite, without the suite itself."""
    every = entry_points()
    groups = (group for group in every.groups if group.startswith(f"{_SUITE}."))
    found = {id(point.dist): point.dist for group in groups for point in every.select(group=group) if point.dist}
    return sorted({dist.name for dist in found.values()} - {_SUITE.replace("_", "-")})


class EntryPoints:
    """All objects that installed packages announce in one group.

    Args:
        group: `learngene_bench.datasets`, for example.
        noun: what messages call one of them.
    """

    def __init__(self, group: str, noun: str) -> None:
        self.group, self.noun = group, noun

    @cached_property
    def _points(self) -> dict[str, list[EntryPoint]]:
        points: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.group):
            if all(point.value != other.value for other in points.setdefault(point.name, [])):
                points[point.name].append(point)
        return points

    def names(self) -> list[str]:
        """Names in alphabetical order."""
        return sorted(self._points)

    def origin(self, name: str) -> str:
        """The package that announces this name."""
        point = self._point(name)
        return point.dist.name if point.dist else point.value

    def load(self, name: str) -> Any:
        """Imports the object of this name.

        Raises:
            UserError: no package announces the name, two do, or the object cannot be imported.
        """
        point = self._point(name)
        try:
            return point.load()
        except Exception as error:
            raise UserError(
                f"{self.noun} {name!r} ({point.value}) cannot be imported: {describe_error(error)}"
            ) from error

    def _point(self, name: str) -> EntryPoint:
        if name not in self._points:
            raise unknown(self.noun, name, self.names())
        first, *others = self._points[name]
        if others:
            values = " and ".join(point.value for point in (first, *others))
            raise UserError(f"{self.noun} {name!r} is announced twice, as {values}: uninstall one of the packages")
        return first


class Plugins(EntryPoints, Generic[Contract]):
    """All implementations of one contract.

    Args:
        contract: the base class that an implementation derives from.
    """

    def __init__(self, group: str, noun: str, contract: type) -> None:
        super().__init__(group, noun)
        self.contract = contract

    def get(self, name: str) -> type[Contract]:
        """Imports the class of this name.

        Raises:
            UserError: see `load`; or what is announced does not implement the contract.
        """
        kind: type[Contract] = self.load(name)
        value = self._point(name).value
        if not (inspect.isclass(kind) and issubclass(kind, self.contract)):
            raise UserError(f"{self.noun} {name!r}: {value} is no subclass of {self.contract.__name__}")
        if missing := sorted(getattr(kind, "__abstractmethods__", ())):
            raise UserError(f"{self.noun} {name!r}: {value} does not define {', '.join(missing)}")
        called = getattr(kind, "name", None)
        if "name" in self.contract.__annotations__ and called != name:
            raise UserError(f"{self.noun} {name!r}: {value} needs the class attribute name = {name!r}, not {called!r}")
        return kind

    def usable(self) -> list[type[Contract]]:
        """Imports all classes but those that cannot be used; a broken one is reported when it is asked for by name."""
        found = []
        for name in self.names():
            with suppress(UserError):
                found.append(self.get(name))
        return found
