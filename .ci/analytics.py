#!/usr/bin/env python3
"""Runs the snippets of docs/analytics.md and compares the answers of the tools with one another: analytics.py OFD [TOOL…]

OFD is the built tool. TOOLs are what to run of DuckDB, Polars, pandas, PySpark and chdb; by default all. The archive is
made here: lives of the generator, and beside them what trips readers (a test drive, a second document under one number, a
document that came late, counters that do not agree, a quantity that fits no decimal). Sums are compared as decimals; where
money comes out as a float it is an error. The page's warnings are asked of the tools as well, see `warnings`.
"""

import ast
import datetime
import importlib.metadata
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from decimal import Decimal

# Far from UTC and from Moscow: a tool that shifted local times into the zone of the machine would give other hours. Before
# the tools are loaded, for they look at it once.
os.environ["TZ"] = "Asia/Vladivostok"
time.tzset()

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ["DuckDB", "Polars", "pandas", "PySpark", "chdb"]
# A column that is a quotient: no tool has to round it as another does.
QUOTIENT = "average"


def ofd(*words, stdin=None):
    done = subprocess.run([OFD, *map(str, words)], input=stdin, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"ofd {words[0]} exits {done.returncode}: {done.stderr}"
    return done.stdout


# The archive.

def live_documents(data):
    """Lives of the generator, sent over TCP."""
    with subprocess.Popen([OFD, "serve", "--data", data, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as server:
        try:
            address = json.loads(server.stdout.readline())["listen"]
            ofd("emit", "--connect", address, "--registers", 20, "--receipts", 100, "--seed", 1, "--json")
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
        finally:
            server.kill()


def life_of(data):
    """Documents of the first register that has counters, receipts and items, as the JSON of the tax service."""
    glob = f"{data}/parquet/containers/*/*.parquet"
    fn = duckdb.sql(f"SELECT fn FROM '{data}/parquet/shifts/*/*.parquet' WHERE counters IS NOT NULL ORDER BY fn LIMIT 1")
    raw = duckdb.sql(f"SELECT hex(raw) FROM '{glob}' WHERE fn = '{fn.fetchall()[0][0]}' ORDER BY fd").fetchall()
    decoded = ofd("decode", "--hex", stdin="".join(f"{line}\n" for (line,) in raw))
    return [json.loads(line, parse_float=Decimal) for line in decoded.splitlines()]


def told(documents, drive, register):
    """The same documents of another register, as messages in hex, a line each."""
    lines = []
    for document in documents:
        (form, fields), = json.loads(json.dumps(document, default=float)).items()
        lines.append(json.dumps({form: fields | {"fiscalDriveNumber": drive, "kktRegId": register}}))
    return ofd("encode", "--hex", stdin="".join(f"{line}\n" for line in lines)).splitlines()


def take(data, messages):
    """Imports the messages and compacts: a run of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".hex") as file:
        file.write("".join(f"{line}\n" for line in messages))
        file.flush()
        ofd("import", "--data", data, "--hex", "--json", file.name)
    ofd("compact", "--data", data, "--all", "--json")


def make_archive(data):
    live_documents(data)
    ofd("compact", "--data", data, "--all", "--json")
    life = life_of(data)
    sold = next(at for at, it in enumerate(life) if it.get("receipt", {}).get("operationType") == 1
                and it["receipt"]["items"][0].get("price") and it["receipt"]["ecashTotalSum"])

    # One document comes after the shift was compacted; then the shift has two rows.
    late = told(life, "7380229500000001", "0000000001000001")
    take(data, late[:sold] + late[sold + 1:])
    take(data, late[sold:sold + 1])

    # Another total than the counters know, and a quantity of a ten-millionth.
    other = json.loads(json.dumps(life, default=float))
    receipt = other[sold]["receipt"]
    receipt["totalSum"] += 1_00
    receipt["ecashTotalSum"] += 1_00
    receipt["items"][0]["quantity"] = 0.0000001
    take(data, told(other, "7380229500000002", "0000000002000002"))

    # The first document under its number counts, this one is kept beside it.
    take(data, told([other[sold]], "7380229500000001", "0000000001000001"))
    # A rehearsal.
    take(data, told(life, "9999000000000001", "0000000003000003"))
    assert json.loads(ofd("verify", "--data", data, "--json"))["ok"]

    documents, items, shifts = (f"'{data}/parquet/{table}/*/*.parquet'" for table in ("documents", "items", "shifts"))
    for what, count in {
        "test documents": f"{documents} WHERE realm = 'test'",
        "second documents under a number": f"{documents} WHERE variant > 0",
        "returns": f"{documents} WHERE revenue_sign < 0",
        "quantities that do not fit": f"{items} WHERE quantity_text IS NOT NULL",
        "items without a name": f"{items} WHERE name IS NULL",
        "later revisions": f"{shifts} WHERE revision > 0",
        "shifts that differ": f"{shifts} WHERE mismatch",
        "shifts that are incomplete": f"{shifts} WHERE mismatch IS NULL",
    }.items():
        assert duckdb.sql(f"SELECT count(*) FROM {count}").fetchall()[0][0] > 0, f"the archive has no {what}"
    assert duckdb.sql(f"SELECT count(DISTINCT date) FROM {documents}").fetchall()[0][0] > 2


# The tools.

class Spark:
    """A session of its own, made when it is first asked for."""
    session = None

    @classmethod
    def get(cls):
        if cls.session is None:
            from pyspark.sql import SparkSession
            cls.session = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
                           .config("spark.ui.showConsoleProgress", "false")
                           .config("spark.sql.shuffle.partitions", "2").getOrCreate())
            cls.session.sparkContext.setLogLevel("ERROR")
        return cls.session


def evaluated(code, file):
    """Runs a snippet of Python and gives the value of its last line."""
    names = {"pd": pd, "pl": pl, "pq": pq, "FILE": file}
    if "spark." in code:
        from pyspark.sql import functions
        names |= {"spark": Spark.get(), "F": functions}
    tree = ast.parse(code)
    last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, "docs/analytics.md", "exec"), names)
    return eval(compile(last, "docs/analytics.md", "eval"), names)


def answered(tool, code, file):
    """(names of the columns, rows) of a snippet."""
    if tool == "DuckDB":
        result = duckdb.sql(code)
        return result.columns, result.fetchall()
    if tool == "chdb":
        import chdb
        table = pa.table(chdb.query(code, "ArrowTable"))
        return table.column_names, [tuple(row.values()) for row in table.to_pylist()]
    frame = evaluated(code, file)
    if tool == "Polars":
        return frame.columns, frame.rows()
    if tool == "pandas":
        return list(frame.columns), list(frame.itertuples(index=False, name=None))
    return frame.columns, [tuple(row) for row in frame.collect()]


def plain(value):
    """A value as all tools have to give it: text, whole numbers, decimals, days."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime.datetime):
        assert value.time() == datetime.time(0), value
        return value.date().isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, str):
        return value
    assert not isinstance(value, float), f"{value!r} is a float"
    return Decimal(value)


def settled(columns, rows):
    """Rows in one order, quotients held against the sums beside them and left out."""
    settled = []
    for row in rows:
        named = dict(zip(columns, row, strict=True))
        if QUOTIENT in named:
            average, exact = Decimal(named.pop(QUOTIENT)), Decimal(named["revenue"]) / Decimal(named["receipts"])
            assert abs(average - exact) < Decimal("0.01"), f"an average of {average} where {exact} is right"
        settled.append(tuple(map(plain, named.values())))
    return sorted(settled, key=lambda row: [(value is None, str(value)) for value in row])


# The page.

def versions(page, tools):
    """The page names the versions that are run."""
    for tool in tools:
        row = re.search(rf"^\| {tool}\b.*$", page, re.M)[0]
        told = [importlib.metadata.version(tool.lower())] + [pa.__version__] * (tool == "pandas")
        assert all(version in row for version in told), f"docs/analytics.md: {row}\nbut {told} run here"


def questions(page):
    """{question: {tool: code}} of the section of questions."""
    section = page[page.index("\n## Questions\n"):page.index("\n## Tables\n")]
    found = {}
    for part in re.split(r"^### ", section, flags=re.M)[1:]:
        snippets = re.findall(r"^\*\*(\w+)\*\*\n\n```(?:sql|python)\n(.*?)^```$", part, re.M | re.S)
        assert [tool for tool, _ in snippets] == TOOLS, f"{part.splitlines()[0]}: {[tool for tool, _ in snippets]}"
        found[part.splitlines()[0]] = dict(snippets)
    return found


def titles(page, data, file):
    """The two snippets that give the titles."""
    section = page[page.index("Each column carries its Russian title."):page.index("\n## Questions\n")]
    sql, code = re.findall(r"^```(?:sql|python)\n(.*?)^```$", section, re.M | re.S)
    by_duckdb = json.loads(duckdb.sql(sql.replace("DIR", data)).fetchall()[0][0])
    by_pyarrow = evaluated(code, file)
    assert by_duckdb == by_pyarrow and by_pyarrow["total"].startswith("Сумма расчёта"), by_duckdb


def fails(call):
    try:
        call()
    except Exception:  # noqa: BLE001, whatever the tool calls it
        return True
    return False


def warnings(tools, data, file):
    """What the page warns of, and what it says that the formulas are."""
    folder = f"{data}/parquet/documents"
    documents, items = f"'{folder}/*/*.parquet'", f"'{data}/parquet/items/*/*.parquet'"
    money, moment, utc = "DECIMAL(18,2)", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"

    # The folder's date, decimals, times.
    assert "date" not in pq.ParquetFile(file).schema_arrow.names
    relation = duckdb.sql(f"SELECT date, total, ts_local, received_at FROM {documents}")
    seen = [str(it) for it in relation.types]
    assert seen[:2] == ["DATE", money] and seen[2].startswith(moment) and seen[2] != utc and seen[3] == utc, seen
    assert fails(lambda: duckdb.sql(f"SELECT * FROM '{folder}'").fetchall()), "DuckDB opens a folder"
    assert "date" not in duckdb.sql(f"SELECT * FROM read_parquet('{folder}/*/*.parquet', hive_partitioning = false)").columns
    schema = pl.scan_parquet(folder).collect_schema()
    assert (schema["date"], schema["total"]) == (pl.Date, pl.Decimal(18, 2))
    assert (schema["ts_local"], schema["received_at"]) == (pl.Datetime("ms"), pl.Datetime("us", "UTC"))
    glob = f"{folder}/*/*.parquet"
    assert "date" not in pl.scan_parquet(glob).collect_schema()
    assert pl.scan_parquet(glob, hive_partitioning=True).collect_schema()["date"] == pl.Date
    assert "date" not in pl.scan_parquet(file).collect_schema()
    types = pd.read_parquet(folder, dtype_backend="pyarrow").dtypes.map(str)
    assert types["total"] == "decimal128(18, 2)[pyarrow]" and types["date"].startswith("dictionary<values=string"), types
    assert (types["ts_local"], types["received_at"]) == ("timestamp[ms][pyarrow]", "timestamp[us, tz=UTC][pyarrow]")
    types = pd.read_parquet(folder).dtypes.map(str)
    assert (types["total"], types["shift"], types["date"]) == ("object", "float64", "category"), types
    if "PySpark" in tools:
        types = dict(Spark.get().read.parquet(folder).dtypes)
        assert (types["date"], types["total"]) == ("date", "decimal(18,2)"), types
        assert (types["ts_local"], types["received_at"]) == ("timestamp_ntz", "timestamp"), types
    if "chdb" in tools:
        import chdb
        seen = chdb.query(f"SELECT toTypeName(date), toTypeName(total), toString(max(ts_local)) FROM file('{glob}', Parquet) "
                          "GROUP BY 1, 2", "TSV").data().strip().split("\t")
        newest = duckdb.sql(f"SELECT strftime(max(ts_local), '%Y-%m-%d %H:%M:%S') FROM {documents}").fetchall()[0][0]
        assert seen[:2] == ["Date", "Nullable(Decimal(18, 2))"] and seen[2].startswith(newest), (seen, newest)

    def none(condition, table=documents):
        wrong = duckdb.sql(f"SELECT count(*) FROM {table} WHERE {condition}").fetchall()[0][0]
        assert wrong == 0, f"{wrong} rows have {condition}"

    # A quantity is in one of two columns, and the text is what was written.
    none("(quantity IS NOT NULL) AND (quantity_text IS NOT NULL)", items)
    text = duckdb.sql(f"SELECT DISTINCT quantity_text FROM {items} WHERE quantity_text IS NOT NULL").fetchall()
    assert text == [("0.0000001",)], text
    # Formulas.
    none("revenue_sign <> CASE WHEN form_code NOT IN (3, 4, 31, 41) THEN 0 WHEN direction = 1 THEN 1 "
         "WHEN direction = 2 THEN -1 ELSE 0 END")
    none("date <> CASE WHEN ts_local::DATE BETWEEN DATE '2016-09-01' AND (received_at AT TIME ZONE 'UTC')::DATE + 2 "
         "THEN ts_local::DATE ELSE (received_at AT TIME ZONE 'UTC')::DATE END")
    none("tenant IS NOT NULL OR zone_min IS NOT NULL OR late_s IS NOT NULL")
    none("(realm = 'test') <> starts_with(fn, '9999')")
    # One row a register as it stands, in each snapshot.
    registers = f"'{data}/parquet/registers/*/*.parquet'"
    stand = duckdb.sql(f"SELECT count(*), count(DISTINCT (date, realm, rnm)), count(address) FROM {registers} WHERE NOT ended")
    rows, distinct, addresses = stand.fetchall()[0]
    assert rows == distinct > 0 < addresses, (rows, distinct, addresses)
    # Items add up to their receipts, but for roundings of whole receipts.
    both = duckdb.sql(f"SELECT sum(d.total * d.revenue_sign), sum(i.revenue) FROM {documents} d JOIN (SELECT position, "
                      f"sum(sum * revenue_sign) AS revenue FROM {items} GROUP BY position) i USING (position) "
                      "WHERE d.realm = 'prod' AND d.variant = 0 AND d.fn <> '7380229500000002'").fetchall()[0]
    assert abs(both[0] - both[1]) < both[0] / 100, both


def main(tools):
    page = (ROOT / "docs/analytics.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="ofd-analytics-") as folder:
        data = f"{folder}/data"
        make_archive(data)
        file = str(min(pathlib.Path(data, "parquet/documents").rglob("*.parquet")))
        for question, snippets in questions(page).items():
            answers = {}
            for tool in tools:
                try:
                    columns, rows = answered(tool, snippets[tool].replace("DIR", data), file)
                    answers[tool] = ([it for it in columns if it != QUOTIENT], settled(columns, rows))
                except Exception as error:
                    raise AssertionError(f"{question}, {tool}: {error}") from error
            first = answers[tools[0]]
            assert first[1], f"{question}: no rows"
            for tool, answer in answers.items():
                for ours, theirs in zip(first[1], answer[1]):
                    assert ours == theirs, f"{question}: {tools[0]} says {ours}, {tool} {theirs}"
                assert len(first[1]) == len(answer[1]), f"{question}: {len(first[1])} rows, {tool} {len(answer[1])}"
                if not question.startswith("VAT"):
                    assert first[0] == answer[0], f"{question}: columns {first[0]}, {tool} {answer[0]}"
            print(f"  {question}: {len(first[1])} rows, alike in {', '.join(answers)}", flush=True)
        versions(page, tools)
        titles(page, data, file)
        warnings(tools, data, file)
        print("  titles, dates, decimals, local times, formulas: as the page says")


if __name__ == "__main__":
    OFD = str(pathlib.Path(sys.argv[1]).resolve())
    wanted = sys.argv[2:] or TOOLS
    assert set(wanted) <= set(TOOLS), f"of {TOOLS}"
    main(wanted)
