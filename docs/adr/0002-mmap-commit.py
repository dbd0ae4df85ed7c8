"""One 4 KiB commit after another: a store into a map with msync, beside pwrite with fdatasync, both into blocks that were
written before. Rounds by turns, medians. The workspace has no writable map, so this is measured outside of it.

    python3 docs/adr/0002-mmap-commit.py [FOLDER ON THE DISK TO MEASURE]
"""

import mmap
import os
import statistics
import sys
import tempfile
import time

LEN, BLOCK, COMMITS, ROUNDS = 64 << 20, bytes([0x5A]) * 4096, 400, 7


def prewritten(folder, name):
    file = open(os.path.join(folder, name), "w+b")
    for _ in range(LEN >> 20):
        file.write(bytes(1 << 20))
    file.flush()
    os.fsync(file.fileno())
    return file


def timed(commit):
    took = []
    for turn in range(COMMITS):
        started = time.perf_counter()
        commit(turn * len(BLOCK) % LEN)
        took.append((time.perf_counter() - started) * 1e6)
    return statistics.median(took)


with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else "/var/tmp") as folder:
    by_write, by_map = prewritten(folder, "write"), prewritten(folder, "map")
    mapped = mmap.mmap(by_map.fileno(), LEN)

    def write(at):
        os.pwrite(by_write.fileno(), BLOCK, at)
        os.fdatasync(by_write.fileno())

    def store(at):
        mapped[at : at + len(BLOCK)] = BLOCK
        mapped.flush(at, len(BLOCK))

    rounds = [(timed(write), timed(store)) for _ in range(ROUNDS)]
    ratio = statistics.median(there / here for here, there in rounds)
    print(f"pwrite + fdatasync {statistics.median(r[0] for r in rounds):.0f} us, "
          f"map + msync {statistics.median(r[1] for r in rounds):.0f} us, ratio {ratio:.2f}")
    mapped.close()
