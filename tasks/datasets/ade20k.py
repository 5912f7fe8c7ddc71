"""ADE20K: scenes with the class of each pixel, 150 classes (Zhou et al., 2017; the Scene Parsing Challenge of 2016)."""

from __future__ import annotations

from pathlib import Path

from learngene_bench.tasks.datasets.archives import Archive
from learngene_bench.tasks.datasets.label_maps import Meaning
from learngene_bench.tasks.datasets.official import Published
from learngene_bench.tasks.datasets.official_maps import OfficialMaps

# First names of the challenge's `objectInfo150.txt`, in its order.
NAMES = """
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door, table,
mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair, seat,
fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of drawers, counter,
sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop,
stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower,
chandelier, awning, streetlight, booth, television, airplane, dirt track, apparel, pole, land, bannister, escalator,
ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, swimming pool,
stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot,
animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan,
pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
"""
FOLDER = "ADEChallengeData2016"


class Ade20k(OfficialMaps):
    """20,210 training and 2,000 test images; 0 stands for no class, 1 to 150 for the classes.

    The 2,000 are the challenge's validation images; the labels of its test images are not published.
    """

    name = "ade20k"
    published = Published("ADE20K", classes=150, train=20_210, test=2000)
    held_out = 2000
    class_names = tuple(name.strip() for name in NAMES.split(","))
    archives = (
        Archive(
            f"http://data.csail.mit.edu/places/ADEchallenge/{FOLDER}.zip",  # 967,382,037 bytes
            # Its authors publish none. This one and the size: `scene_parse_150` of Hugging Face's datasets.
            "sha256:7ff1be44964418441f542a7cc1e1a650e7dc0fc275f5d23252bc9bbdbc977b29",
            f"{FOLDER}.zip",
            member=FOLDER,
            becomes=FOLDER,
        ),
    )

    @property
    def _meaning(self) -> Meaning:
        return Meaning(range(1, 151), frozenset({0}))

    def _folders(self, split: str) -> tuple[Path, Path]:
        folder = {"train": "training", "val": "validation"}[split]
        return self._root / FOLDER / "images" / folder, self._root / FOLDER / "annotations" / folder
