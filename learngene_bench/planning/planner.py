"""Makes a plan from a request: the cells, the stages that they need, and the cells that cannot exist."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from learngene_bench.contracts.family import count
from learngene_bench.contracts.initializer import GeneRequest, Initializer, wrong_family
from learngene_bench.planning.descriptions import describe_setting, describe_variant
from learngene_bench.planning.image_costs import gene_recipes
from learngene_bench.planning.method_spec import MethodSpec
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.request import Request
from learngene_bench.planning.scope import Scope
from learngene_bench.planning.source_model import fitted
from learngene_bench.planning.stages import StageMaker
from learngene_bench.planning.support import reason_against
from learngene_bench.planning.targets import Target, model_family
from learngene_bench.schema.seeds import CrossedSeeds
from learngene_bench.schema.subject import MethodVariant, Parameters, PlannedCell, Subject, UnsupportedSubject
from learngene_bench.util.files import address_of


def make_plan(request: Request) -> Plan:
    """Lays out every cell of the request and the stages it needs.

    Raises:
        UserError: the grid names an unknown size, sizes are impossible, data or options are wrong.
    """
    scope = Scope(request)
    maker = StageMaker(scope)
    plan = _empty_plan(scope, maker)
    for spec in request.methods:
        created = spec.registered.create(spec.options)
        for planned in scope.targets:
            method, base = fitted(created, planned.spec, planned.base, planned.source)
            target = replace(planned, base=base)
            misfit = wrong_family(method, target.spec)
            gene = None if misfit else method.gene_request(target.spec, target.base)
            reason = reason_against(method, target, gene, scope)
            variant = _variant(spec, method, target, gene, scope, maker)
            if variant not in plan.methods:
                plan.methods.append(variant)
            plan.rows.append((variant, target.size))
            subject = dict(_subject(variant, target, scope))
            if reason is not None:
                plan.unsupported.append(UnsupportedSubject(**subject, reason=reason))
                continue
            made = maker.cells(spec, method, target, gene, _label(variant, target, scope))
            parameters, epochs = _parameters(method, target, scope), _prepare_epochs(method, target, gene, scope)
            for address, config in made.items():
                cell = PlannedCell(
                    **subject,
                    seed=config.seed,
                    gene_seed=config.gene_seed,
                    parameters=parameters,
                    prepare_epochs=epochs,
                    address=address,
                )
                plan.cells.append(cell)
                if target.task != scope.source:
                    plan.task_data[address] = target.task.settings
    return plan


def _empty_plan(scope: Scope, maker: StageMaker) -> Plan:
    """Returns a plan without cells, whose stages and files are those of the maker."""
    shared = _shared_by_all_cells(scope, maker)
    plan = Plan(
        scope.preset,
        scope.request.grid,
        tasks=list({task.name: task for task in (scope.source, *scope.tasks)}.values()),
        setting=address_of(shared),
        setting_description=describe_setting(scope),
        stages=maker.stages,
        files=maker.files,
        crossed=scope.request.seeds if isinstance(scope.request.seeds, CrossedSeeds) else None,
    )
    if scope.request.equal_budget:
        plan.equal_budget_of = plan.setting
        plan.equal_budget_images = max(scope.budget(target) for target in scope.targets)
        plan.setting = address_of({**shared, "equal_budget": _recipes_of_sizes(scope, "inheritance")})
    return plan


def _shared_by_all_cells(scope: Scope, maker: StageMaker) -> dict[str, Any]:
    """Returns what cells of one table have in common, whatever their method and target."""
    preset = scope.preset
    family, architecture = model_family(preset)
    if scope.is_transfer:
        finetuning: Any = [
            {"task": task.name, "data": task.identity, "recipe": task.recipe and task.recipe.model_dump(mode="json")}
            for task in scope.tasks
        ]
    else:
        finetuning = _recipes_of_sizes(scope, "finetuning")
    return {
        **maker.common,
        "base": preset.base.model_dump(mode="json"),
        "preset": preset.name,
        "evaluation_split": preset.evaluation_split,
        "model": {"family": family.name, **architecture.model_dump(mode="json")},
        "finetuning": finetuning,
        **({"source_model": source.model_dump(mode="json")} if (source := scope.request.grid.source_model) else {}),
    }


def _recipes_of_sizes(scope: Scope, name: str) -> dict[str, Any]:
    """Returns a recipe of all sizes, also of those that the grid leaves out: grids share their settings."""
    sizes = scope.preset.sizes.items()
    return {size: scope.preset.recipe_of(name, about.width).model_dump(mode="json") for size, about in sizes}


def _variant(
    spec: MethodSpec, method: Initializer, target: Target, gene: GeneRequest | None, scope: Scope, maker: StageMaker
) -> MethodVariant:
    source_hash = spec.registered.source_hash
    return MethodVariant(
        method=method.name,
        version=f"{method.version}+{source_hash[:8]}" if source_hash else str(method.version),
        variant=describe_variant(method, target, gene, scope, maker.hash_of),
        title=method.row_title(),
        group=method.group,
    )


def _subject(variant: MethodVariant, target: Target, scope: Scope) -> Subject:
    return Subject(
        **dict(variant),
        size=target.size,
        task=target.task.name,
        source=scope.source.name,
        target=target.spec.as_dict(),
        horizon=target.horizon,
        share=target.share,
    )


def _label(variant: MethodVariant, target: Target, scope: Scope) -> str:
    """Names a cell, seed apart; what it has in common with most cells is left out."""
    sizes, widths = {other.size for other in scope.targets}, {other.spec.width for other in scope.targets}
    words = [variant.method, f"({variant.variant})" if variant.variant else "", target.size]
    words += [f"width {target.spec.width}"] if len(widths) > len(sizes) else []
    words += [f"depth {target.spec.depth}", f"on {target.task.name}" if target.task != scope.source else ""]
    words += [f"share {target.share:g}" if target.share != 100 else ""]
    words += [f"horizon {target.horizon:g}" if target.horizon != 1 else ""]
    return " ".join(filter(None, words))


def _parameters(method: Initializer, target: Target, scope: Scope) -> Parameters:
    """Counts parameters; in transfer those that are handed over have no head, as in the paper's table of it."""
    spec = target.spec if target.task == scope.source else replace(target.spec, classes=0)
    stored = count(dict(method.stored_shapes(spec, target.base)))
    return Parameters(stored=stored, model=target.spec.parameter_count())


def _prepare_epochs(method: Initializer, target: Target, gene: GeneRequest | None, scope: Scope) -> float | None:
    """Returns the epochs that a gene is trained for; None where nothing is trained, or iterations are given."""
    if gene and gene.trains:
        return gene_recipes(method, gene, target, scope)[gene.trains[0]].epochs
    return scope.preset.recipe_of("pretraining", target.width).epochs if method.is_trained else None
