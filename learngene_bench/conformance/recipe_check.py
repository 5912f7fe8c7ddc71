"""The check that a method uses what its recipes say, also where a loss of its own or its network decides that."""

from __future__ import annotations

from learngene_bench.conformance.findings import Findings, Problem
from learngene_bench.conformance.observations import Observations, RecipeVariation


def check_recipe_fields(observed: Observations) -> Findings:
    """Compares the numbers under another value of each field with what the method declares about the field."""
    if not any((declared.request and declared.request.trains) or declared.trains for declared in observed.declared):
        return [], "it trains by none"
    if any(not first.agrees(second) for first, second in observed.repeated):
        return [], "not reached: see repeats"
    problems = [Problem(variation.where, what) for variation in observed.variations if (what := _fault_of(variation))]
    names = dict.fromkeys(variation.field for variation in observed.variations)
    return problems, f"another {', '.join(names)}" if names else "not reached"


def _fault_of(variation: RecipeVariation) -> str | None:
    recipe, field = variation.recipe, variation.field
    if call := variation.failed:
        return f"with another {field} in {recipe!r} {call.phase} raised {type(call.error).__name__}: {call.error}"
    if variation.ignored and variation.differs:
        return f"another {field} in {recipe!r} gives other numbers, but ignored_recipe_fields() names it"
    if not variation.ignored and not variation.differs:
        advice = "context.train sets the drop path of a MaterialisedModel only; " if field == "drop_path" else ""
        return (
            f"another {field} in {recipe!r} gives the same numbers; {advice}take it from "
            f"context.recipes[{recipe!r}].{field}, or name it in ignored_recipe_fields()"
        )
    return None
