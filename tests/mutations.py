"""Seeded mutations of files, as mistakes, disks and strangers make them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 3, 10**9, 2**63, 10**400, -1e308, 5e-324, float("nan"), float("inf"), "", " ", "0",
    "x" * 5000, "../../x", "/etc/passwd", "\x1b[31m\x07", "\ud800", "a\nb", [], {}, [None], [[]], {"": None},
    ["x"] * 300, {"a": {"b": {"c": 0}}},
)  # fmt: skip
"""Values in the place of others."""

TEXTS: tuple[bytes, ...] = (
    b"", b"null", b"0", b'""', b"[]", b"{}", b"[{}]", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b"-",
    b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"\x00" * 512, "{}".encode("utf-16"), b'{"schema_version": 99}', b"\x1b[2J",
    b"version https://git-lfs",
)  # fmt: skip
"""Texts in the place of whole files, or of lines."""


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Changes a text of JSON or another one: a value, a key, or its bytes."""
    lines = content.splitlines(keepends=True)
    if len(lines) > 1 and chance.random() < 0.5:  # JSON lines, each a document
        number = chance.randrange(len(lines))
        try:
            json.loads(lines[number])
        except ValueError:
            pass
        else:
            lines[number] = mutated(lines[number].rstrip(b"\n"), chance) + b"\n"
            return b"".join(lines)
    try:
        document = json.loads(content)
    except ValueError:
        return changed_bytes(content, chance)
    if chance.random() < 0.3:
        return changed_bytes(content, chance)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        document = _changed_value(document, chance)
    return json.dumps(document, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def changed_bytes(content: bytes, chance: random.Random) -> bytes:
    """Changes the bytes of any file: cut, damaged, doubled, or something else in its place."""
    place = chance.randrange(len(content) + 1)
    changes: tuple[Callable[[], bytes], ...] = (
        lambda: content[:place],
        lambda: content[place:],
        lambda: (
            content[:place] + bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9))) + content[place + 1 :]
        ),
        lambda: content[:place] + content[place:] * 2,
        lambda: content[: place // 2] + content[place:],
        lambda: content.replace(b'"', b"'", 3),
        lambda: content.replace(b"1", b"9" * 5000, 1),
        lambda: content.replace(b"{", b"[", 1),
        lambda: chance.choice(TEXTS),
    )
    return chance.choice(changes)()


def _changed_value(document: Any, chance: random.Random) -> Any:
    """Changes one place of a document: goes down a random way and stops at a random depth."""
    if not isinstance(document, dict | list) or not document or chance.random() < 0.15:
        return chance.choice(HOSTILE)
    changed: Any = document.copy()
    key = chance.choice(list(document)) if isinstance(document, dict) else chance.randrange(len(document))
    match chance.randrange(12):
        case 0:
            del changed[key]
        case 1:
            if isinstance(changed, dict):
                changed[f"{key}x"] = changed.pop(key)
            else:
                changed.append(changed[key])
        case 2:
            other = chance.choice(list(document)) if isinstance(document, dict) else chance.randrange(len(document))
            changed[key], changed[other] = changed[other], changed[key]
        case 3:
            if isinstance(changed, dict):
                changed["another"] = chance.choice(HOSTILE)
            else:
                changed.reverse()
        case _:
            changed[key] = _changed_value(document[key], chance)
    return changed
