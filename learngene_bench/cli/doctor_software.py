"""Checks of the installed software for `lgbench doctor`: versions by their descriptions, torch by trying it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

from learngene_bench.cli.doctor_findings import Finding, Verdict, fault, lacks, ok
from learngene_bench.execution.torch_probe import LIMIT, run
from learngene_bench.util.hardware import visible_gpus
from learngene_bench.util.provenance import git
from learngene_bench.util.words import counted
from learngene_bench.version import PROTOCOL, __version__

DISTRIBUTION = "learngene-bench"
TORCH = ("torch", "torchvision")
INSTALL_PAIR = "install both together, from one source: pip install --force-reinstall torch torchvision"
ON_CPU = "--set compute.device=cpu computes on the CPU"
EXTRAS = {"dev": "only make test and make lint need it"}
"""The cost of doing without an extra, where it is known."""


def suite() -> Iterator[Finding]:
    """Names Python and this package, and the commit of a checkout."""
    yield ok("Python", f"{platform.python_version()}, {sys.prefix}", version=platform.python_version())
    commit, changed = git()["commit"], git()["dirty"]
    place = f"a checkout at {commit[:8]}{', changed' if changed else ''}" if commit else "an installed package"
    text = f"{__version__}, protocol {PROTOCOL}, {place}"
    yield ok(DISTRIBUTION, text, version=__version__, protocol=PROTOCOL, commit=commit)


def packages() -> Iterator[Finding]:
    """Compares the versions that are installed with those that this package asks for, and looks for its extras."""
    from packaging.requirements import Requirement

    asked = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    always = [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
    found = {one.name: _version(one.name) for one in always}
    unfit = [one for one in always if not _fits(one, found[one.name])]
    for one in unfit:
        version = found[one.name]
        state = f"{version} is installed, {one.specifier} is needed" if version else "not installed"
        yield fault(one.name, state, f"pip install '{one}'", version=version)
    if not unfit:
        yield ok("packages", f"{len(always)} of {len(always)} in the versions that are needed", versions=found)
    for extra in metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or ():
        own = [one for one in asked if one not in always and one.marker and one.marker.evaluate({"extra": extra})]
        missing = [one.name for one in own if not _fits(one, _version(one.name))]
        if missing:
            command = f"pip install '{DISTRIBUTION}[{extra}]'"
            cost = f"{EXTRAS[extra]}; {command}" if extra in EXTRAS else f"{command} adds it"
            yield lacks(f"extra {extra}", f"without {', '.join(missing)}", cost, missing=missing)
        else:
            yield ok(f"extra {extra}", "all of it is installed")


def torch(limit: float = LIMIT) -> Iterator[Finding]:
    """Compares torch with torchvision by their descriptions, then tries both and every GPU in another process.

    Args:
        limit: time that the trial may take, seconds.
    """
    versions = {name: version for name in TORCH if (version := _version(name)) is not None}
    for name in TORCH:
        if name not in versions:
            yield fault(name, "not installed", INSTALL_PAIR, version=None)
    if "torch" not in versions:
        return
    steps, ended = run(limit)
    by_step = {step["step"]: step for step in steps}
    torch = _tried("torch", versions["torch"], by_step, ended)
    yield torch
    if "torchvision" in versions:
        unfit = _unfit(versions["torch"], versions["torchvision"])
        if unfit:
            yield fault("torchvision", unfit, INSTALL_PAIR, version=versions["torchvision"])
        elif torch.verdict is Verdict.OK:
            yield _tried("torchvision", versions["torchvision"], by_step, ended)
    if torch.verdict is Verdict.OK:
        yield from _gpus(steps, by_step["torch"]["built_for"], ended)


def _unfit(torch: str, torchvision: str) -> str:
    """Returns why two versions are no pair, by what torchvision asks for; nothing if they may be one."""
    from packaging.requirements import Requirement

    for wanted in map(Requirement, metadata.requires("torchvision") or ()):
        if wanted.name == "torch" and not _fits(wanted, torch):
            return f"{torchvision} needs torch{wanted.specifier}, and torch is {torch}"
    return ""


def _tried(name: str, version: str, by_step: dict[str, dict[str, Any]], ended: str) -> Finding:
    """Judges a package by what became of it in the other process."""
    step = by_step.get(name)
    if step is None:
        return fault(name, f"{version} cannot be imported: {ended or 'it said nothing'}", INSTALL_PAIR, version=version)
    if "error" in step:
        return fault(name, f"{version} does not work: {step['error']}", INSTALL_PAIR, version=version)
    built = f", for {step['built_for']}" if "built_for" in step else ""
    return ok(name, f"{step['version']}{built}", **{key: value for key, value in step.items() if key != "step"})


def _gpus(steps: Sequence[dict[str, Any]], built_for: str, ended: str) -> Iterator[Finding]:
    """Compares the GPUs that the system has with those that torch can compute on."""
    visible, gpus = visible_gpus(), [step for step in steps if step["step"] == "gpu"]
    counting = next((step for step in steps if step["step"] == "gpus"), {})
    if ended:
        yield fault("GPU", f"trying it: {ended}", f"{ON_CPU}; the driver may be at fault")
        return
    for number, gpu in enumerate(gpus):
        if "error" in gpu:
            remedy = f"{ON_CPU}; or install a torch that fits to this GPU and its driver"
            yield fault(f"GPU {number}", gpu["error"], remedy, error=gpu["error"])
        else:
            yield ok(
                f"GPU {number}",
                f"{gpu['name']}, {gpu['memory'] / 2**30:.0f} GiB",
                name=gpu["name"],
                memory=gpu["memory"],
            )
    if gpus:
        return
    if visible:
        reason = f"torch is built for {built_for}" + ("" if built_for == "CPUs" else ": is the driver older?")
        text = f"{counted(len(visible), 'GPU')} here, but torch sees none ({counting.get('error', reason)})"
        yield fault("GPU", text, f"{ON_CPU}; or install a torch that fits to the driver", count=0)
    else:
        cost = "digits and tiny-imagenet-laptop are made for CPUs; other presets need one GPU or many"
        yield lacks("GPU", "none", cost, count=0)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(requirement: Any, version: str | None) -> bool:
    return version is not None and bool(requirement.specifier.contains(version, prereleases=True))
