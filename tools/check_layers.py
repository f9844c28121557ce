#!/usr/bin/env python3
"""Checks that includes between the folders of src/ point one way, and that files stay small enough to read.

Exit status 1 and one line a fault. Run by the test `layers`.
"""

import pathlib
import re
import sys

# What each folder may include, besides itself. docs/architecture.md draws the same picture.
ALLOWED = {
    "base": set(),
    "formats": {"base"},
    "checkpoint": {"formats", "base"},
    "backend": {"formats", "base"},
    "sampling": {"backend", "checkpoint", "formats", "base"},
    "grammar": {"backend", "formats", "base"},
    "reference": {"backend", "sampling", "formats", "base"},
    "cpu": {"backend", "sampling", "formats", "base"},
    "cuda": {"backend", "sampling", "formats", "base"},
    "model": {"backend", "checkpoint", "formats", "base"},
    "quantize": {"model", "sampling", "backend", "checkpoint", "formats", "base", "runtime"},
    "runtime": {"model", "grammar", "sampling", "backend", "checkpoint", "formats", "base"},
    "eval": {"runtime", "model", "sampling", "backend", "checkpoint", "formats", "base"},
    "analysis": {"eval", "runtime", "model", "sampling", "backend", "checkpoint", "formats", "base"},
    "serve": {"runtime", "eval", "sampling", "checkpoint", "formats", "base"},
    "cli": {"serve", "analysis", "eval", "quantize", "runtime", "model", "sampling", "backend", "checkpoint", "formats", "base"},
}
# A backend reads of sampling the policy, which CPU and GPU share, and the draw. And one file names the backends.
ONLY_HEADERS = {
    (user, "sampling"): {"sampling/reset_policy.h", "sampling/policy.h", "sampling/sampler.h", "sampling/boundary_tokens.h",
                         "sampling/draw_slots.h", "sampling/exp_float.h", "sampling/logit_adjustment.h",
                         "sampling/token_adjustments.h", "sampling/token_weight.h"}
    for user in ("reference", "cpu", "cuda")
}
EXTRA = {"src/runtime/backends.cc": {"reference", "cpu", "cuda"}}
MAX_LINES = 600

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def faults_of(path: pathlib.Path, root: pathlib.Path) -> list[str]:
    relative = path.relative_to(root)
    folder = relative.parts[1]
    text = path.read_text(encoding="utf-8")
    faults = []
    if folder not in ALLOWED:
        return [f"{relative}: folder {folder} has no place in tools/check_layers.py"]
    allowed = ALLOWED[folder] | {folder} | EXTRA.get(str(relative), set())
    for include in INCLUDE.findall(text):
        target = include.split("/")[0]
        if include.startswith("fourstep/"):
            continue  # the public header: standard types only
        if "/" not in include or not (root / "src" / include).exists():
            faults.append(f'{relative}: "{include}" is not a path from src/')
        elif target not in allowed:
            faults.append(f"{relative}: {folder} may not include {target} ({include})")
        elif include not in ONLY_HEADERS.get((folder, target), {include}):
            faults.append(f"{relative}: {folder} may include of {target} only its shared headers, not {include}")
    lines = text.count("\n")
    if lines > MAX_LINES:
        faults.append(f"{relative}: {lines} lines, at most {MAX_LINES}")
    return faults


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    files = sorted(p for p in (root / "src").rglob("*") if p.suffix in {".h", ".cc", ".cu", ".cuh"})
    faults = [fault for path in files for fault in faults_of(path, root)]
    for fault in faults:
        print(fault)
    print(f"{len(files)} files, {len(faults)} faults")
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main())
