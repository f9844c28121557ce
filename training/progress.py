"""A log as JSON lines: each line is in the file and on standard output as soon as it is written."""

from __future__ import annotations

import json
from pathlib import Path


class Log:
    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path

    def write(self, **fields) -> None:
        fields = {k: round(v, 6) if isinstance(v, float) else v for k, v in fields.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")
        print(self.path.stem, *(f"{key}={value}" for key, value in fields.items()), flush=True)
