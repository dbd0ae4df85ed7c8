"""DuckDB, and `ofd sql` if the tool has it, come to the sums that a plain fold over the log came to.

Usage: one_truth.py DIR [OFD], where DIR is what `OFD_ONE_TRUTH_DIR=DIR cargo test … --test one_truth` left.
"""

import json
import pathlib
import subprocess
import sys

import duckdb

DOCUMENTS = """SELECT realm, count(*) AS documents, count(*) FILTER (WHERE form_code IN (3, 4, 31, 41)) AS receipts,
  CAST(sum(total * revenue_sign) FILTER (WHERE form_code IN (3, 4, 31, 41)) * 100 AS BIGINT) AS revenue,
  CAST(sum(cash) FILTER (WHERE form_code IN (3, 4, 31, 41)) * 100 AS BIGINT) AS cash
  FROM {documents} WHERE variant = 0 GROUP BY realm"""
ITEMS = """SELECT realm, count(*) AS items, CAST(sum(sum) * 100 AS BIGINT) AS items_sum
  FROM {items} WHERE variant = 0 GROUP BY realm"""


def main(folder, ofd):
    folder = pathlib.Path(folder)
    expected = json.loads((folder / "sums.json").read_text())
    for sums in expected.values():
        sums.update({key: int(value) for key, value in sums.items()})
    tables = {name: f"'{folder}/parquet/{name}/*/*.parquet'" for name in ("documents", "items")}
    found = {realm: {} for realm in expected}
    for query in (DOCUMENTS, ITEMS):
        result = duckdb.sql(query.format(**tables))
        for row in result.fetchall():
            found[row[0]].update(dict(zip(result.columns[1:], row[1:])))
    assert found == expected, f"DuckDB: {found}\nplain fold: {expected}"
    print(f"DuckDB {duckdb.__version__}: {sum(it['documents'] for it in expected.values())} documents, the same to the kopeck")
    if ofd:
        found = {realm: {} for realm in expected}
        for query in (DOCUMENTS, ITEMS):
            query = query.format(documents="documents", items="items")
            lines = subprocess.run([ofd, "sql", "--data", folder, query, "--json"], check=True, capture_output=True, text=True)
            for line in lines.stdout.splitlines():
                row = json.loads(line)
                found[row.pop("realm")].update({key: int(value) for key, value in row.items()})
        assert found == expected, f"ofd sql: {found}\nplain fold: {expected}"
        print("ofd sql: the same")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
