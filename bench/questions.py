#!/usr/bin/env python3
"""What three questions cost `ofd sql`, as a whole process, beside DuckDB in a warm one: questions.py DIR OFD [ROUNDS]

DIR is a data directory whose documents are compacted (`just one-truth N DIR` leaves one). By turns, medians; DuckDB has two
threads. The answers have to have the same number of rows.
"""

import pathlib
import statistics
import subprocess
import sys
import time

import duckdb

QUESTIONS = {
    "revenue a register a day": "SELECT rnm, CAST(ts_local AS DATE) AS day, sum(sum * revenue_sign) AS revenue "
                                "FROM {items} WHERE variant = 0 GROUP BY 1, 2",
    "twenty best items by name": "SELECT name, sum(sum * revenue_sign) AS revenue FROM {items} WHERE variant = 0 "
                                 "GROUP BY 1 ORDER BY revenue DESC LIMIT 20",
    "average receipt": "SELECT avg(total) AS average FROM (SELECT position, sum(sum) AS total FROM {items} "
                       "WHERE variant = 0 GROUP BY 1)",
}


def timed(ask):
    began = time.perf_counter()
    rows = ask()
    return time.perf_counter() - began, rows


def main(folder, ofd, rounds=5):
    files = pathlib.Path(folder) / "parquet/items/*/*.parquet"
    database = duckdb.connect()
    database.execute("SET threads = 2")
    print("| question | rows | `ofd sql`, s | DuckDB, s | ratio |\n|---|---|---|---|---|")
    for name, question in QUESTIONS.items():
        words = [ofd, "sql", "--data", folder, question.format(items="items"), "--json", "--memory-mb", "4000"]
        ours = lambda: len(subprocess.run(words, check=True, capture_output=True).stdout.splitlines())
        theirs = lambda: len(database.execute(question.format(items=f"'{files}'")).fetchall())
        pairs = [(timed(ours), timed(theirs)) for _ in range(int(rounds))]
        rows = {each[1] for pair in pairs for each in pair}
        assert len(rows) == 1, f"{name}: {rows} rows"
        one, other = (statistics.median(pair[at][0] for pair in pairs) for at in (0, 1))
        print(f"| {name} | {rows.pop()} | {one:.2f} | {other:.2f} | {one / other:.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
