"""Presets and grids: the settings of a run, read from TOML, validated, overridden with `--set key=value`.

A *preset* says at which scale one measures (data, sizes, recipes); a *grid* says which targets. Everything a
result depends on is a field here or an option of a method or data set, so that it ends in the result's address.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from learngene_bench.errors import UserError, unknown

LATER: dict[str, Any] = {"later": True}
"""Marks a field that came after results were published: left out of the dump, and so of addresses, at its default."""


class Section(BaseModel):
    """A group of settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        for name, field in type(self).model_fields.items():
            if field.json_schema_extra == LATER and getattr(self, name) == field.default:
                values.pop(name, None)
        return values


RAND_AUGMENT = r"rand(-(m|n|mmax|inc)\d+|-(p|mstd)\d+(\.\d+)?)*"
"""The sections of timm's string: magnitude, layers, largest magnitude, increasing; probability, deviation."""


class RandomCrop(Section):
    """timm's random resized crop: a random part of an image, resized to the size that networks see."""

    scale: tuple[float, float] = Field((0.08, 1.0), description="part of the image's area, smallest and largest")
    ratio: tuple[float, float] = Field((0.75, 4 / 3), description="width over height, smallest and largest")
    interpolation: Literal["bicubic", "bilinear", "random"] = Field("bicubic", description="random: either of the two")

    @model_validator(mode="after")
    def _ascending(self) -> RandomCrop:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("scale is two numbers above 0 and up to 1, the smaller one first")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError("ratio is two numbers above 0, the smaller one first")
        return self


class Augmentation(Section):
    """What is drawn anew for every training image. Defaults change nothing.

    A random crop and RandAugment are timm's and work on one image at a time, in processes that load images. With one of
    them flip and colour jitter do so too, and all four are what `timm.data.create_transform` makes of them, in its
    order. Everything else is done on the training device, to a batch at a time.
    """

    shift: int = Field(0, ge=0, description="largest random translation, pixels; the border is filled with zeros")
    flip: bool = Field(False, description="mirror left and right with probability 1/2")
    noise: float = Field(0.0, ge=0, description="standard deviation of added Gaussian noise, white being 1")
    color_jitter: float = Field(0.0, ge=0, lt=1, description="strength of brightness, contrast and saturation jitter")
    random_erasing: float = Field(0.0, ge=0, le=1, description="probability of erasing a rectangle of 2 to 33 % area")
    erased_to: Literal["grey", "noise"] = Field(
        "grey",
        description="noise: timm's mode 'pixel', normal noise in place of normalised pixels",
        json_schema_extra=LATER,
    )
    random_crop: RandomCrop | None = Field(
        None, description="random resized crop; none when absent", json_schema_extra=LATER
    )
    auto_augment: str | None = Field(
        None,
        description="RandAugment by timm's string, 'rand-m9-mstd0.5-inc1'; with it, as in timm, no colour jitter",
        json_schema_extra=LATER,
    )

    @field_validator("auto_augment")
    @classmethod
    def _known_to_timm(cls, policy: str | None) -> str | None:
        if policy is not None and not re.fullmatch(RAND_AUGMENT, policy):
            raise ValueError("timm's string for RandAugment is needed, such as rand-m9-mstd0.5-inc1")
        return policy

    @property
    def one_by_one(self) -> bool:
        """Whether a part of it works on one image at a time."""
        return self.random_crop is not None or self.auto_augment is not None

    @property
    def batched(self) -> Augmentation:
        """The part that works on a batch at a time."""
        if not self.one_by_one:
            return self
        return self.model_copy(update={"random_crop": None, "auto_augment": None, "flip": False, "color_jitter": 0.0})


class Recipe(Section):
    """How a network is trained. One of `epochs` and `iterations` is given."""

    epochs: float | None = Field(None, ge=0)
    iterations: int | None = Field(None, ge=0)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    minimum_learning_rate: float = Field(1e-5, ge=0)
    warmup_epochs: float = Field(0.0, ge=0)
    warmup_learning_rate: float = Field(1e-6, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    clip_gradient: float | None = Field(None, gt=0, description="largest norm of the whole gradient")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)
    drop_path: float = Field(0.0, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    repeated_augmentation: int = Field(
        1,
        ge=1,
        description="times that an image comes in a row, each augmented anew (3 in DeiT)",
        json_schema_extra=LATER,
    )
    drop_last: bool = Field(True, description="leave out the last, partial batch of an epoch", json_schema_extra=LATER)

    @model_validator(mode="after")
    def _one_length(self) -> Recipe:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("give either epochs or iterations")
        return self

    def steps(self, images: int) -> int:
        """Optimizer steps on a training set of this many images."""
        if self.iterations is not None:
            return self.iterations
        assert self.epochs is not None
        return round(self.epochs * self.steps_per_epoch(images))

    def steps_per_epoch(self, images: int) -> int:
        whole, rest = divmod(self.epoch_length(images), self.batch_size)
        least = 2 if self.mixup or self.cutmix else 1  # mixed in pairs
        return max(1, whole + (rest >= least and not self.drop_last))

    def epoch_length(self, images: int) -> int:
        """Images of an epoch, an image counted each time, before partial batches are dropped.

        Repeated augmentation makes no epoch longer, it shows fewer images; it rounds to 256 as DeiT's `samplers.py`.
        """
        rounded = images - images % 256 if self.repeated_augmentation > 1 else 0
        return rounded or images


class Architecture(Section):
    """What all Vision Transformers of a preset share; see `ModelSpec`."""

    patch_size: int
    head_dimension: int = Field(ge=1)
    mlp_ratio: float = Field(4.0, gt=0)
    class_token: bool = False
    irpe: bool = False


class BaseInitialization(Section):
    """Where every tensor starts that no method writes: ancestors, templates, heads, and the `timm` control's base.

    `truncated-normal` is timm's own (std .02, patch convolution left at torch's default); `xavier` is Xavier-uniform
    with q, k and v as three matrices (MoCo-v3, `vits.py`), which very small models need to learn at all.
    """

    matrices: Literal["truncated-normal", "xavier"] = "truncated-normal"
    position_std: float = Field(0.02, ge=0, description="standard deviation of the position embedding")


class Teacher(Section):
    """The ancestor that condensation distils from: one for all sizes and seeds of a preset."""

    architecture: str = Field(description="'convnet' (small, built in) or any timm model name")
    pretrained: bool = Field(False, description="load timm's pretrained weights instead of training")
    checkpoint: Path | None = Field(None, description="load this file (safetensors or weights-only) instead")
    seed: int = 0
    recipe: Recipe | None = Field(None, description="how it is trained when nothing is loaded")

    @model_validator(mode="after")
    def _from_somewhere(self) -> Teacher:
        if self.recipe is None and not self.pretrained and self.checkpoint is None:
            raise ValueError("give a recipe, pretrained = true, or a checkpoint")
        return self


RecipeName = Literal["pretraining", "condensation", "inheritance", "tuning"]


class Size(Section):
    """A model size of the preset, and what its recipes have other than the preset's: `{batch_size = 256}`."""

    width: int = Field(ge=1)
    pretraining: dict[str, Any] = {}
    condensation: dict[str, Any] = {}
    inheritance: dict[str, Any] = {}
    tuning: dict[str, Any] = {}


class AncestorSource(Section):
    """Where ancestors that are Vision Transformers come from, when they are not trained by `pretraining`."""

    timm: str | None = Field(None, description="name of a timm model with pretrained weights")
    checkpoint: Path | None = Field(None, description="a file of weights, safetensors or weights-only")

    @model_validator(mode="after")
    def _one_source(self) -> AncestorSource:
        if self.timm is not None and self.checkpoint is not None:
            raise ValueError("give timm or checkpoint, not both")
        return self


class Compute(Section):
    """How numbers are computed. `threads` is part of a result's address: summation order depends on it."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1, description="CPU threads of one process")
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    checkpoint_seconds: float = Field(20.0, gt=0, description="a killed run loses at most this much")
    loaders: int | None = Field(
        None,
        ge=0,
        description="processes that load and augment images one by one, beside each that trains; absent: its cores",
        json_schema_extra=LATER,
    )


class Preset(Section):
    """At which scale one measures."""

    name: str
    title: str
    data: dict[str, Any] = Field(description="`name` of the data set, and that data set's own options")
    model: Architecture
    sizes: dict[str, Size] = Field(min_length=1)
    base: BaseInitialization = BaseInitialization()
    teacher: Teacher
    ancestor: AncestorSource = AncestorSource()
    pretraining: Recipe
    condensation: Recipe
    inheritance: Recipe
    tuning: Recipe
    evaluation_split: Literal["test", "validation"] = "test"
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _valid_recipes_of_sizes(self) -> Preset:
        for name, size in self.sizes.items():
            for kind in get_args(RecipeName):
                try:
                    self.recipe_of(kind, size.width)
                except ValidationError as error:
                    raise ValueError(f"sizes.{name}.{kind}: {_first_problem(Recipe, error)}") from error
        return self

    def recipe_of(self, kind: RecipeName, width: int) -> Recipe:
        """The recipe of this kind, as the size of this width changes it."""
        recipe: Recipe = getattr(self, kind)
        for size in self.sizes.values():
            own: dict[str, Any] = getattr(size, kind)
            if size.width == width and own:
                values = recipe.model_dump()
                if own.keys() & {"epochs", "iterations"}:
                    values.update(epochs=None, iterations=None)
                return Recipe.model_validate({**values, **own})
        return recipe


class Grid(Section):
    """Which targets are measured: every size of the preset at every depth."""

    name: str
    title: str
    axis: Literal["depth", "width"]
    depths: list[int] = Field(min_length=1)
    sizes: list[str] | None = Field(None, min_length=1, description="names of the preset's sizes; all when absent")


SectionType = TypeVar("SectionType", bound=Section)


def shipped(kind: Literal["preset", "grid"]) -> dict[str, Path]:
    """The presets or grids that come with the suite: name to file."""
    folder = Path(str(resources.files("learngene_bench.tasks"))) / f"{kind}s"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_preset(name_or_file: str, overrides: Mapping[str, Any] | None = None) -> Preset:
    """Reads a preset by name or from a TOML file; `overrides` maps dotted keys to values.

    Raises:
        UserError: no such preset or file, not TOML, a wrong key or type.
    """
    path = _find("preset", name_or_file)
    values, overrides = _read(path), overrides or {}
    # Options belong to one data set: another would refuse those of the preset's own, or worse, share a name with one
    # and take its value. So they go together, and before any override, whose order must not matter.
    own = values.get("data")
    if isinstance(own, dict) and overrides.get("data.name", own.get("name")) != own.get("name"):
        values["data"] = {}
    return _build(Preset, values, overrides, where=str(path))


def load_grid(name_or_file: str, overrides: Mapping[str, Any] | None = None) -> Grid:
    """Reads a grid by name or from a TOML file; see `load_preset`."""
    path = _find("grid", name_or_file)
    return _build(Grid, _read(path), overrides or {}, where=str(path))


def build_options(kind: type[SectionType], values: Mapping[str, Any], where: str) -> SectionType:
    """Validates the options of a method or data set.

    Raises:
        UserError: naming `where`, the wrong key and the valid ones.
    """
    return _build(kind, dict(values), {}, where)


def parse_override(text: str) -> tuple[str, Any]:
    """Splits `key=value`; the value is read as TOML (`3`, `true`, `[4, 6]`), else taken as a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text!r}: expected key=value, as in --set tuning.epochs=5")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _find(kind: Literal["preset", "grid"], name_or_file: str) -> Path:
    known = shipped(kind)
    if name_or_file in known:
        return known[name_or_file]
    if name_or_file.endswith(".toml"):
        path = Path(name_or_file)
        if not path.is_file():
            raise UserError(f"{kind} file not found: {name_or_file}")
        return path
    raise unknown(kind, name_or_file, known)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _build(kind: type[SectionType], values: dict[str, Any], overrides: Mapping[str, Any], where: str) -> SectionType:
    for dotted, value in overrides.items():
        _assign(values, dotted, value)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        dotted = ".".join(str(part) for part in error.errors()[0]["loc"])
        overridden = any(dotted == key or dotted.startswith(f"{key}.") for key in overrides)
        raise UserError(f"{'--set' if overridden else where}: {_first_problem(kind, error)}") from error


def _assign(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for name in parents:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise UserError(f"--set {dotted}: {name!r} is a value, not a section")
    values[last] = value
    # A recipe has one length: setting one replaces the other.
    if last in ("epochs", "iterations"):
        values.pop("iterations" if last == "epochs" else "epochs", None)


def _first_problem(kind: type[BaseModel], error: ValidationError) -> str:
    problem = error.errors()[0]
    dotted = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return str(unknown("key", dotted, _keys_beside(kind, problem["loc"])))
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{dotted} is missing"
    if problem["type"] == "model_type":
        return f"{dotted}: this is a section with keys of its own, not {problem['input']!r}"
    given = "" if isinstance(problem["input"], dict | BaseModel) else f", not {problem['input']!r}"
    place = f"{dotted}: " if dotted else ""  # what is wrong with all keys together has no place
    return f"{place}{message[0].lower()}{message[1:]}{given}"


def _keys_beside(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The valid keys of the section that `location` lies in, dotted like the wrong one."""
    section = kind
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        section = _section_in(field.annotation) if field else section
    prefix = "".join(f"{part}." for part in location[:-1])
    return [f"{prefix}{name}" for name in section.model_fields]


def _section_in(annotation: Any) -> type[BaseModel]:
    """The section type inside an annotation such as `Recipe | None` or `dict[str, Size]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _section_in(inner)
        if found is not BaseModel:
            return found
    return BaseModel
