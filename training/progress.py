"""A log as JSON lines: each line is in the file and on standard output as soon as it is written."""

from __future__ import annotations

import json
from pathlib import Path


class Log:
    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.name = path.stem
        self.file = path.open("a", encoding="utf-8")

    def write(self, **fields) -> None:
        fields = {k: round(v, 6) if isinstance(v, float) else v for k, v in fields.items()}
        self.file.write(json.dumps(fields) + "\n")
        self.file.flush()
        print(self.name, *(f"{key}={value}" for key, value in fields.items()), flush=True)
