#!/usr/bin/env python3
"""What outsiders rely on, asked of the tool from outside: contract.py OFD FACTS

OFD is the built tool, FACTS a folder with real documents (`samples/receipts.wire`, `samples/receipts.jsonl`).
Needs the modules duckdb and pytz (times with a zone). Stops at the first thing that does not hold.
"""

import contextlib
import hashlib
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from decimal import Decimal

import duckdb

import wire

OFD = str(pathlib.Path(sys.argv[1]).resolve())
SAMPLES = pathlib.Path(sys.argv[2]) / "samples"
MONEY = {"totalSum": "total", "cashTotalSum": "cash", "ecashTotalSum": "ecash", "prepaidSum": "prepaid",
         "creditSum": "credit", "provisionSum": "provision"}
TEXT = {"fiscalDriveNumber": "fn", "kktRegId": "rnm", "userInn": "inn", "user": "user_name",
        "retailPlaceAddress": "address", "retailPlace": "place"}
NUMBER = {"fiscalDocumentNumber": "fd", "fiscalSign": "fpd", "shiftNumber": "shift",
          "requestNumber": "number_in_shift", "operationType": "direction"}


def say(text):
    print(f"  {text}", flush=True)


def ofd(*words, code=0, stdin=None):
    """Runs the tool and gives its stdout; another exit code than `code` is an error."""
    done = subprocess.run([OFD, *map(str, words)], input=stdin, capture_output=True, timeout=300)
    assert done.returncode == code, f"ofd {' '.join(map(str, words))} exits {done.returncode}, not {code}:\n{done.stderr.decode()}"
    return done.stdout


def lines(output):
    return [json.loads(line, parse_float=Decimal) for line in output.decode().splitlines()]


@contextlib.contextmanager
def serving(data):
    """`ofd serve` on a free port; ends by SIGTERM and exit code 0."""
    with open(pathlib.Path(data).with_suffix(".log"), "wb") as log:
        server = subprocess.Popen([OFD, "serve", "--data", data, "--listen", "127.0.0.1:0"],
                                  stdout=subprocess.PIPE, stderr=log)
        try:
            ready = json.loads(server.stdout.readline())
            assert ready["event"] == "ready", ready
            host, port = ready["listen"].rsplit(":", 1)
            yield host, int(port)
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0, f"serve exits {server.returncode} on SIGTERM"
        finally:
            server.kill()
            server.wait()


def files(folder):
    """Every file below a folder with its hash."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def same(ours, expected):
    """Equal, numbers being compared as numbers."""
    if isinstance(expected, list):
        return len(ours) == len(expected) and all(map(same, ours, expected))
    if isinstance(expected, dict):
        return all(same(ours.get(key), value) for key, value in expected.items())
    if isinstance(expected, (int, Decimal)):
        return ours is not None and Decimal(ours) == Decimal(expected)
    return ours == expected


def decode_and_check(samples):
    decoded = lines(ofd("decode", SAMPLES / "receipts.wire"))
    assert len(decoded) == len(samples)
    # Names under which `expect` keeps what the JSON of the tax service calls otherwise.
    names = {"receipt": {"taxationType": "appliedTaxationType"}}
    skipped = 0
    for document, sample in zip(decoded, samples):
        (form, body), = document.items()
        assert form == sample["form"], f"{sample['id']}: {form}"
        for key, value in sample["expect"].items():
            key = names.get(form, {}).get(key, key)
            if key not in body:
                skipped += 1
                continue
            if key == "items":
                value = [{k: v for k, v in item.items() if k in got} for item, got in zip(value, body[key], strict=True)]
            assert same(body[key], value), f"{sample['id']}, {key}: {body[key]} instead of {value}"
        for key in ("fiscalDriveNumber", "fiscalDocumentNumber", "dateTime"):
            assert key in body, f"{sample['id']} has no {key}"
    hexed = "".join(f"{sample['hex']}\n" for sample in samples).encode()
    assert lines(ofd("decode", "--hex", stdin=hexed)) == decoded, "--hex gives something else"
    say(f"decode: {len(decoded)} documents as expected; keys of the list that the form does not have: {skipped}")

    checked = lines(ofd("check", SAMPLES / "receipts.wire"))
    assert len(checked) == len(samples)
    for row, sample in zip(checked, samples):
        assert (row["fn"], row["fd"]) == (sample["expect"]["fiscalDriveNumber"], sample["expect"]["fiscalDocumentNumber"])
        assert all({"rule", "name", "level"} <= set(finding) for finding in row["violations"])
    say(f"check: {sum(len(row['violations']) for row in checked)} findings")

    damaged = bytearray((SAMPLES / "receipts.wire").read_bytes())
    damaged[70] ^= 1
    ofd("decode", code=3, stdin=bytes(damaged))
    went_on = ofd("decode", "--keep-going", code=3, stdin=bytes(damaged))
    assert len(went_on.splitlines()) == len(samples) - 1, "--keep-going does not go on"
    ofd("decode", "--no-such-option", code=2)


def serve(samples, folder):
    messages = [bytes.fromhex(sample["hex"]) for sample in samples]
    assert b"".join(messages) == (SAMPLES / "receipts.wire").read_bytes()
    ways = [wire.one_socket, wire.a_connection_each, wire.sixteen_in_flight]
    for turn, way in enumerate(ways):
        data = folder / way.__name__
        with serving(data) as address:
            first = way(address, messages)
            assert all(answer.code == 0 for answer in first), first
            time.sleep(1.1)  # A second answer made afresh would have another 1012.
            again = ways[(turn + 1) % 3](address, messages)
            assert again == first, "sent again, another answer"
            other = way(address, [wire.other_envelope(message) for message in messages])
            assert other == first, "the same document in another container, another answer"
        assert verify(data)["documents"] == len(messages), "something is stored twice"
        say(f"serve: {way.__name__.replace('_', ' ')}: {len(messages)} confirmed in order, sent again alike, stored once")
    return data, messages


def variants(data, messages):
    message = messages[-1]
    fn, fd = wire.drive_and_number(message)
    with serving(data) as address:
        ofd("serve", "--data", data, "--listen", "127.0.0.1:0", code=5)
        assert wire.refused_without_a_byte(address, b"GET / HTTP/1.1\r\n\r\n" + bytes(64)), "noise is answered"
        broken = bytearray(message)
        broken[60] ^= 1
        assert wire.refused_without_a_byte(address, bytes(broken)), "a wrong checksum is answered"
        answer, = wire.one_socket(address, [wire.other_document(message)])
        assert answer.code == 14, answer
        live = ofd("find", "--data", data, "--fn", fn, "--fd", fd)
    found = lines(live)
    assert [row["variant"] for row in found] == [0, 1], found
    assert [row["answer_code"] for row in found] == [0, 14], found
    assert lines(ofd("find", "--data", data, "--fn", fn, "--fd", fd)) == found, "without the server, another answer"
    raw = ofd("find", "--data", data, "--fn", fn, "--fd", fd, "--raw").decode().split()
    assert raw[0] == message[wire.SESSION:].hex(), "--raw is not what was sent"
    ofd("find", "--data", data, "--fn", fn, "--fd", 16_000_000, code=4)
    say("find: both documents under one number, byte for byte")


def verify(data):
    report = json.loads(ofd("verify", "--data", data, "--json"))
    assert report["ok"] and report["damaged"] == 0 and report["missing"] == 0, report
    return report


def parquet(data, samples, messages):
    with serving(data) as address:
        ofd("compact", "--data", data, "--all")
        before = files(data / "parquet")
        assert wire.one_socket(address, messages[:1])[0].code == 0
    ofd("compact", "--data", data, "--all")
    assert files(data / "parquet") == before, "a second compaction changed something"
    report = verify(data)
    assert report["parquet_rows"] == report["documents"] == len(messages) + 1, report
    allowed = {".parquet"}
    assert all(pathlib.Path(name).suffix in allowed or name.endswith("_SUCCESS") for name in before), sorted(before)

    db = duckdb.connect()
    for table in ("documents", "items", "containers"):
        db.execute(f"create view {table} as select * from read_parquet('{data}/parquet/{table}/*/*.parquet', hive_partitioning = true)")
    for realm in ("test", "prod"):
        mine = [sample["expect"] for sample in samples
                if sample["expect"]["fiscalDriveNumber"].startswith("9999") == (realm == "test")]
        expected = [len(mine)] + [sum(document.get(key, 0) for document in mine) for key in MONEY]
        columns = ", ".join(f"coalesce(sum({column}), 0) * 100" for column in MONEY.values())
        row = db.execute(f"select count(*), {columns} from documents where realm = ? and variant = 0", [realm]).fetchone()
        assert list(map(int, row)) == expected, f"{realm}: {row} instead of {expected}"
        expected = [sum(len(document.get("items", [])) for document in mine),
                    sum(item["sum"] for document in mine for item in document.get("items", []))]
        row = db.execute("select count(*), coalesce(sum(sum), 0) * 100 from items where realm = ? and variant = 0", [realm]).fetchone()
        assert list(map(int, row)) == expected, f"{realm}, items: {row} instead of {expected}"
        say(f"parquet: {realm}: {len(mine)} documents, {expected[0]} items, sums of kopecks equal")

    compared = 0
    for sample in samples[:: max(1, len(samples) // 20)]:
        document = sample["expect"]
        cursor = db.execute("select * from documents where fn = ? and fd = ? and variant = 0",
                            [document["fiscalDriveNumber"], document["fiscalDocumentNumber"]])
        row = dict(zip([column[0] for column in cursor.description], cursor.fetchone()))
        assert row["form"] == sample["form"], sample["id"]
        for key, column in {**TEXT, **NUMBER}.items():
            if key in document:
                assert row[column] == document[key], f"{sample['id']}, {column}: {row[column]!r} instead of {document[key]!r}"
                compared += 1
        for key, column in MONEY.items():
            if key in document:
                assert row[column] * 100 == document[key], f"{sample['id']}, {column}: {row[column]}"
                compared += 1
        seconds = db.execute("select epoch(ts_local) from documents where fn = ? and fd = ? and variant = 0",
                             [row["fn"], row["fd"]]).fetchone()[0]
        assert int(seconds) == document["dateTime"], f"{sample['id']}, ts_local"
        items = db.execute("select name, price * 100, quantity, sum * 100 from items where fn = ? and fd = ? and variant = 0 order by line",
                           [row["fn"], row["fd"]]).fetchall()
        assert len(items) == len(document.get("items", [])), sample["id"]
        for (name, price, quantity, total), item in zip(items, document.get("items", [])):
            assert (price, total) == (item["price"], item["sum"]), f"{sample['id']}: {name}"
            assert quantity == Decimal(item["quantity"]), f"{sample['id']}: {quantity} of {name}"
            assert "name" not in item or name == item["name"], f"{sample['id']}: {name}"
            compared += 4
    say(f"parquet: {compared} values of single documents equal")


def moving_in(folder, messages):
    archive, data = folder / "archive", folder / "moved"
    archive.write_bytes(b"".join(messages))
    rows = lines(ofd("import", "--data", data, "--json", archive))
    total = rows.pop()
    assert (total["documents"], total["stored"], total["damaged"]) == (len(messages), len(messages), 0), total
    for key in "documents", "receipts", "income", "income_return", "expense", "expense_return":
        assert sum(row[key] for row in rows) == total[key], (key, total)
    assert total["income"] > 0 and all(len(row["month"]) == 7 for row in rows), rows[:2]
    with serving(data) as address:
        again = lines(ofd("import", "--data", data, "--json", archive))[-1]
        assert (again["stored"], again["known"]) == (0, len(messages)), again
        answers = wire.one_socket(address, messages)
        assert all(answer.code == 0 for answer in answers), answers
        ofd("compact", "--data", data, "--all")
    assert verify(data)["documents"] == len(messages)
    back = lines(ofd("import", "--data", folder / "back", "--json", data / "parquet"))[-1]
    assert {**back, "skipped": 0} == {**total, "skipped": 0}, (back, total)
    fn, fd = wire.drive_and_number(messages[-1])
    ofd("import", "--data", folder / "back", folder / "nothing", code=4)
    raw = ofd("find", "--data", folder / "back", "--fn", fn, "--fd", fd, "--raw").decode().split()
    assert raw == [messages[-1][wire.SESSION:].hex()]
    say(f"import: {len(messages)} documents, again, beside a server, and from Parquet, {total['income']} kopecks each time")


def generator(folder):
    data = folder / "emit"
    with serving(data) as address:
        report = json.loads(ofd("emit", "--connect", "%s:%d" % address, "--registers", 50, "--receipts", 40,
                                "--seed", 7, "--connections", 8, "--json"))
        keys = {"sent", "confirmed", "refused", "unanswered", "documents_per_second", "p50_us", "p99_us", "p999_us", "seed"}
        assert keys <= set(report), report
        assert report["refused"] == report["unanswered"] == 0 and report["confirmed"] == report["sent"], report
        ofd("compact", "--data", data, "--all")
    found = verify(data)
    assert found["documents"] == found["parquet_rows"] == report["sent"], (found, report)
    say(f"emit: {report['sent']} documents of 50 registers confirmed, stored, compacted")


def configuration(folder):
    default = folder / "default.toml"
    default.write_bytes(ofd("config", "print-default"))
    ofd("config", "check", default)
    wrong = folder / "wrong.toml"
    wrong.write_bytes(default.read_bytes() + b"\nno_such_key = 1\n")
    done = subprocess.run([OFD, "config", "check", wrong], capture_output=True)
    assert done.returncode != 0 and b"no_such_key" in done.stderr, done
    say("config: the default is good, an unknown key is named")


def main():
    with open(SAMPLES / "receipts.jsonl", encoding="utf-8") as file:
        samples = [json.loads(line, parse_float=Decimal) for line in file]
    with tempfile.TemporaryDirectory(prefix="ofd-contract-") as folder:
        folder = pathlib.Path(folder)
        decode_and_check(samples)
        data, messages = serve(samples, folder)
        variants(data, messages)
        moving_in(folder, messages)
        parquet(data, samples, messages)
        generator(folder)
        configuration(folder)


if __name__ == "__main__":
    main()
