#!/usr/bin/env python3
"""Counts the instructions of the codec on its golden documents and compares them with codec/testdata/instructions.json.

Time on shared machines moves two- and threefold, the number of instructions does not move at all. Two runs of each task under
callgrind, of different lengths, give the price of one pass over all golden documents without start and end. A task that
takes more than its tolerance fails the run; one that takes less says so, and BLESS=1 writes the new numbers down.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ROOT / "codec/testdata/instructions.json"
SHORT, LONG = 2, 12


def build():
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "ofd-codec", "--example", "instructions"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release/examples/instructions"


def count(program, task, times):
    with tempfile.TemporaryDirectory() as scratch:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={scratch}/out", program, task, str(times)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"{task}: {done.stderr}")
    return int(found.group(1))


def main():
    program = build()
    kept = json.loads(KEPT.read_text())
    failed = False
    for task, row in kept.items():
        now = (count(program, task, LONG) - count(program, task, SHORT)) // (LONG - SHORT)
        moved = 100 * (now - row["instructions"]) / max(row["instructions"], 1)
        over = moved > row["tolerance_percent"]
        print(f"{task}: {now} instructions, {moved:+.1f} % (tolerance {row['tolerance_percent']} %)")
        failed |= over
        row["instructions"] = now
    if os.environ.get("BLESS"):
        KEPT.write_text(json.dumps(kept, indent=2) + "\n")
    elif failed:
        sys.exit("more instructions than were written down; if that is meant: BLESS=1 .ci/instructions.py")


main()
