#!/usr/bin/env python3
"""Bytes a document in each table, beside what DuckDB and Polars make of the same rows: sizes.py DIR [--columns]

DIR is a data directory that was compacted, or an export. Each of its files is read and written again, rows in the same order,
by DuckDB (ZSTD, Parquet of version 1 as it does by default, and of version 2) and by Polars (its default, ZSTD). Bytes of
whole files, footers, indexes and bloom filters included. `--columns` also tells the columns that another writes smaller.
"""

import argparse
import collections
import pathlib
import tempfile

import duckdb
import polars as pl
import pyarrow.parquet as pq

TABLES = ["documents", "items", "shifts", "registers", "violations", "containers", "records"]


def by_duckdb(version):
    def write(source, target):
        duckdb.sql(f"COPY (SELECT * FROM read_parquet('{source}', hive_partitioning = false)) TO '{target}' "
                   f"(FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION {version})")
    return write


def by_polars(source, target):
    pl.read_parquet(source, hive_partitioning=False).write_parquet(target)


WRITERS = {"DuckDB": by_duckdb("V1"), "DuckDB V2": by_duckdb("V2"), "Polars": by_polars}


def columns_of(path):
    """Compressed bytes of each column."""
    metadata, found = pq.read_metadata(path), collections.Counter()
    for group in range(metadata.num_row_groups):
        for at in range(metadata.num_columns):
            column = metadata.row_group(group).column(at)
            found[column.path_in_schema] += column.total_compressed_size
    return found


def measured(table, scratch):
    """Rows; bytes by writer; bytes by writer and column."""
    rows, whole, columns = 0, collections.Counter(), collections.defaultdict(collections.Counter)
    for path in sorted(table.rglob("*.parquet")):
        rows += pq.read_metadata(path).num_rows
        paths = {"ofd-engine": path}
        for name, write in WRITERS.items():
            paths[name] = scratch / f"{name}.parquet"
            write(path, paths[name])
        for name, each in paths.items():
            whole[name] += each.stat().st_size
            columns[name] += columns_of(each)
    return rows, whole, columns


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=pathlib.Path)
    arguments.add_argument("--columns", action="store_true", help="columns that another writes smaller")
    asked = arguments.parse_args()
    parquet = asked.data / "parquet" if (asked.data / "parquet").is_dir() else asked.data
    documents = sum(pq.read_metadata(path).num_rows for path in (parquet / "documents").rglob("*.parquet"))
    assert documents, f"no documents under {parquet}"
    names = ["ofd-engine", *WRITERS]
    print(f"{documents} documents, bytes a document (DuckDB {duckdb.__version__}, Polars {pl.__version__})\n")
    print(f"| table | rows | {' | '.join(names)} | of the smallest |\n|---|---|{'---|' * (len(names) + 1)}")
    smaller = []
    with tempfile.TemporaryDirectory(prefix="ofd-sizes-") as scratch:
        for table in TABLES:
            rows, whole, columns = measured(parquet / table, pathlib.Path(scratch))
            if not rows:
                continue
            each = " | ".join(f"{whole[name] / documents:.2f}" for name in names)
            ratio = whole["ofd-engine"] / min(whole[name] for name in WRITERS)
            print(f"| `{table}` | {rows} | {each} | {ratio:.2f} |", flush=True)
            for column, ours in columns["ofd-engine"].items():
                best = min(WRITERS, key=lambda name: columns[name][column])
                theirs = columns[best][column]
                if ours - theirs > 0.002 * whole["ofd-engine"]:
                    smaller.append((ours - theirs, f"{table}.{column}: {ours / documents:.3f}, {best} {theirs / documents:.3f}"))
    if asked.columns:
        print()
        for _, line in sorted(smaller, reverse=True):
            print(line)


if __name__ == "__main__":
    main()
