"""TensorBoard: event files, written by its own package, without torch."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

from learngene_bench.contracts.tracker import StageOutcome, TrackedStage, Tracker


class TensorBoard(Tracker):
    """Writes a folder of event files for each stage; a continued stage adds a file to its folder."""

    name, title, module = "tensorboard", "TensorBoard, event files in the runs folder", "tensorboard"

    def open(self, stage: TrackedStage, folder: Path, run: str | None) -> str:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        name = run or re.sub(r"[^\w.=-]+", "-", f"{stage.label} {stage.address[:8]}")
        self.writer = EventFileWriter(str(folder / name))
        if run is None:
            self._write(0, self._text("settings", stage.settings))
        return name

    def log(self, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._write(step, Summary(value=[Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]))

    def close(self, outcome: StageOutcome) -> None:
        self.writer.close()

    @classmethod
    def where(cls, folder: Path) -> str:
        return f"tensorboard --logdir {folder}"

    def _write(self, step: int, summary: object) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
        self.writer.flush()

    @staticmethod
    def _text(tag: str, settings: Mapping[str, object]) -> object:
        """Returns the settings as a table that TensorBoard shows among its texts."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

        table = "\n".join(["| setting | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in settings.items())])
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype="DT_STRING", string_val=[table.encode()], tensor_shape=shape)
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text", content=b""))
        return Summary(value=[Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)])
