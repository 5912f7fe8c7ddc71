"""Plans a sweep: trials of every method on validation images, then what is selected by them on test images.

A trial is an ordinary cell with other settings and `evaluation_split=validation`; what is selected is measured by an
ordinary cell with these settings. So both have addresses like all cells, are computed once, and can be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import Request
from learngene_bench.planning.sweep_space import SweepSpace, TrialSettings
from learngene_bench.schema.sweep import Role, Sweep, SweptRow, SweptSetting
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import address_of, canonical

Place = tuple[str, str, str, str, str, float, float]
"""Place of a cell in a table: method, variant at the default, size, task, target as JSON, share and horizon."""

BuildRequest = Callable[[Sequence[str]], Request]
"""Makes a request with further settings, as typed after `--set`."""


@dataclass(frozen=True)
class SweepPlan:
    """A sweep.

    Attributes:
        default: the plan in which nothing is swept, on test images.
        trials: plans on validation images; their cells are the trials.
    """

    space: SweepSpace
    build: BuildRequest
    default: Plan
    trials: tuple[Plan, ...]

    @property
    def sweep(self) -> Sweep:
        """The part that its plans have in common, but for their roles and rows."""
        sweep = self.trials[0].sweep
        assert sweep is not None
        return sweep

    def selected(self, chosen: Mapping[Place, TrialSettings]) -> list[Plan]:
        """Plans the test measurements of what is selected.

        Args:
            chosen: settings by place; places without any are left out.
        """
        plans = []
        for settings in {canonical(settings): settings for settings in chosen.values()}.values():
            plan = _plan_of(self.space, self.default, self.build, settings, "selected", None)
            places = places_of(plan)
            wanted = {cell.address for cell in plan.cells if chosen.get(places[cell.address]) == settings}
            plans += _labelled([_of_cells(plan, wanted)])
        return plans


def make_sweep(build: BuildRequest, space: SweepSpace) -> SweepPlan:
    """Plans the trials of a sweep.

    Args:
        build: makes the request with further settings.

    Raises:
        UserError: the trials of two methods are not equally many, a setting changes what is measured, or is unknown.
    """
    request = build(())
    default = make_plan(request)
    if default.crossed:
        raise UserError(
            f"--sweep selects by runs that are independent: --seeds {default.crossed.independent}, not "
            f"--seeds {default.crossed.text}"
        )
    if request.preset.evaluation_split == "validation":
        raise UserError("--sweep selects on validation images and measures on test images: leave out evaluation_split")
    for spec in request.methods:
        for swept in space.settings_of(spec.registered.kind.name):
            if swept.key.removeprefix(f"{spec.registered.kind.name}.") in spec.options and swept not in space.shared:
                raise UserError(f"--sweep {swept.key}: --method or --set gives it a single value")
    names = [spec.registered.kind.name for spec in request.methods]
    found = space.all_trials(names)
    plans = []
    for number in range(len(found[names[0]])):
        together: dict[str, dict[str, str]] = {}
        members: dict[str, set[str]] = {}
        for name, trials in found.items():
            own = {key: value for key, value in trials[number].items() if key.startswith(f"{name}.")}
            shared = canonical({key: value for key, value in trials[number].items() if key not in own})
            together.setdefault(shared, {}).update(trials[number])
            members.setdefault(shared, set()).add(name)
        plans += [
            _plan_of(space, default, build, settings, "trials", members[shared])
            for shared, settings in together.items()
        ]
    return SweepPlan(space, build, default, tuple(_labelled(plans)))


def _plan_of(
    space: SweepSpace,
    default: Plan,
    build: BuildRequest,
    settings: TrialSettings,
    role: Role,
    methods: Collection[str] | None,
) -> Plan:
    """Makes the plan of a trial, of these methods or of all."""
    further = [f"{key}={value}" for key, value in settings.items()]
    try:
        request = build([*further, *(["evaluation_split=validation"] if role == "trials" else [])])
        chosen = [s for s in request.methods if methods is None or s.registered.kind.name in methods]
        plan = make_plan(replace(request, methods=chosen))
    except UserError as error:
        raise UserError(f"--sweep ({', '.join(further)}): {str(error).removeprefix('--set: ')}") from error
    _check_same_targets(default, plan, further)
    targets = len(default.rows) // len(request.methods)
    names = [spec.registered.kind.name for spec in request.methods for _ in range(targets)]
    rows = [row for name, row in zip(names, default.rows, strict=True) if methods is None or name in methods]
    swept_rows = {
        (variant.method, variant.variant, size): SweptRow(
            method=variant.method,
            size=size,
            variant=variant.variant,
            default=at_default.variant,
            trial={
                swept.key: settings[swept.key] for swept in space.settings_of(variant.method) if swept.key in settings
            },
        )
        for (variant, size), (at_default, _) in zip(plan.rows, rows, strict=True)
    }
    sweep = Sweep(
        address=_address(default.setting, space),
        of=default.setting,
        of_description=default.setting_description,
        ordinary=None if default.equal_budget_of is None else _address(default.equal_budget_of, space),
        role=role,
        swept=tuple(SweptSetting(key=swept.key, values=swept.text) for swept in space.swept),
        trials=len(space.trials_of(rows[0][0].method)),
        trial_seed=None if space.trials is None else space.seed,
        rows=tuple(swept_rows.values()),
    )
    return replace(plan, sweep=sweep)


def _address(setting: str, space: SweepSpace) -> str:
    """Hashes what is swept where. An option of a method is its own affair: others stand in the same table."""
    swept = {swept.key: sorted(swept.values) or swept.text for swept in space.shared}
    drawn = None if space.trials is None else [space.trials, space.seed]
    return address_of({"setting": setting, "swept": swept, "drawn": drawn})


def _check_same_targets(default: Plan, trial: Plan, settings: Sequence[str]) -> None:
    """Raises `UserError` if a trial has other models or images: they would not be comparable."""
    before = [(task.name, task.identity) for task in default.tasks]
    after = [(task.name, task.identity) for task in trial.tasks]
    if before != after or _columns(trial) != _columns(default):
        raise UserError(
            f"--sweep ({', '.join(settings)}): this changes the images or the models that are measured; "
            "sweep what changes how they are initialized or trained"
        )


def _columns(plan: Plan) -> set[str]:
    return {
        canonical([cell.size, cell.task, cell.target, cell.share, cell.horizon])
        for cell in [*plan.cells, *plan.unsupported]
    }


def places_of(plan: Plan) -> dict[str, Place]:
    """Returns the place of each cell of a plan of a sweep, by address."""
    assert plan.sweep is not None
    default = {(row.method, row.variant, row.size): row.default for row in plan.sweep.rows}
    return {
        cell.address: (
            cell.method,
            default[cell.method, cell.variant, cell.size],
            cell.size,
            cell.task,
            canonical(cell.target),
            cell.share,
            cell.horizon,
        )
        for cell in plan.cells
    }


def _of_cells(plan: Plan, cells: Collection[str]) -> Plan:
    """Returns the plan of some cells of a plan of a sweep, by address."""
    restricted = plan.restricted_to(cells)
    assert plan.sweep is not None
    kept = {(cell.method, cell.variant, cell.size) for cell in restricted.cells}
    rows = tuple(row for row in plan.sweep.rows if (row.method, row.variant, row.size) in kept)
    return replace(restricted, sweep=plan.sweep.model_copy(update={"rows": rows}))


def _labelled(plans: Sequence[Plan]) -> list[Plan]:
    """Adds the settings of its trial to the label of each cell that depends on them."""
    counts = Counter(cell.address for plan in plans for cell in plan.cells)
    labelled = []
    for plan in plans:
        assert plan.sweep is not None
        trials = {(row.method, row.variant, row.size): row.trial for row in plan.sweep.rows}
        stages: dict[str, Any] = dict(plan.stages)
        for cell in plan.cells:
            trial = trials[cell.method, cell.variant, cell.size]
            if counts[cell.address] == 1:
                words = ", ".join(f"{key}={value}" for key, value in trial.items())
                stages[cell.address] = replace(stages[cell.address], label=f"{stages[cell.address].label} ({words})")
        labelled.append(replace(plan, stages=stages))
    return labelled
