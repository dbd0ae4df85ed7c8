#!/usr/bin/env python3
"""Runs the commands of README.md's first look and compares what they print: readme.py TARGET

TARGET is cargo's target folder with the built tool. A block of `sh` is run; a block of `json` or `text` behind it is
what it has to print: talk on stderr first, where the block shows any; a line `…` stands for lines that are left out. Times,
rates and lengths differ from run to run and are not compared.
"""

import pathlib
import re
import signal
import subprocess
import sys
import tempfile

TARGET = pathlib.Path(sys.argv[1]).resolve()
ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVERS = []
VARIES = re.compile(r'"(documents_per_second|elapsed_us|bytes|files|(?:p\d+|max)_us)":\d+')
# The command line of DuckDB, from the Python module.
DUCKDB = f'duckdb() {{ {sys.executable} -c "import sys, duckdb; print(duckdb.sql(sys.argv[1]))" "$2"; }}\n'


def blocks(markdown):
    """(language, text) of every fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", markdown, re.M | re.S)


def agree(printed, shown):
    """Whether the parts between the lines `…` stand in what was printed, in their order, from its begin to its end."""
    parts = [part.strip("\n") for part in re.split(r"^…$", shown, flags=re.M)]
    if len(parts) == 1:
        return printed == shown
    at = 0
    for part in parts:
        at = printed.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return printed.startswith(parts[0]) and printed.endswith(parts[-1])


def main():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## A first look"):text.index("## Embed it")]
    found = blocks(section)
    expected = sum(language != "sh" for language, _ in found)
    compared, server, printed, talk = 0, None, "", ""
    with tempfile.TemporaryDirectory(prefix="ofd-readme-") as folder:
        for language, block in found:
            if language != "sh":
                both = talk + printed if block.startswith("ofd: ") else printed
                ours, theirs = (VARIES.sub(r'"\1":…', each.strip()) for each in (both, block))
                assert agree(ours, theirs), f"README.md says\n{theirs}\nbut it prints\n{ours}"
                compared += 1
                continue
            # Where this machine keeps things; the port may be in use already.
            command = block.strip().replace("target/release/", f"{TARGET}/release/").replace("/tmp/ofd", f"{folder}/ofd")
            if command.endswith("&"):
                words = command.rstrip("& ").split()
                server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                SERVERS.append(server)
                printed = server.stdout.readline()
                continue
            if command.startswith("cargo build"):
                continue
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", DUCKDB + command], cwd=ROOT, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
            assert done.returncode == 0, f"{command} exits {done.returncode}: {done.stderr}"
            printed, talk = done.stdout, done.stderr
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    assert compared == expected == 7, f"{compared} outputs compared"
    print(f"  README.md: {compared} outputs as printed there")


if __name__ == "__main__":
    try:
        main()
    finally:
        # A server that a failure has left would keep its port from the next run.
        for server in SERVERS:
            server.kill()
