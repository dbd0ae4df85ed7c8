//! A tenant sees his rows and nothing of anybody else, whatever his SQL says.
//!
//! Two worlds: in one he is among others, in the other he is alone. Every question gets the same answer in both, down to
//! the text of a plan or of an error. `OFD_SQL_SEEDS=N` asks more questions, `OFD_SEED=N` the ones of one seed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

#[path = "../../../storage/tests/compact_support/mod.rs"]
mod compact_support;
mod support;

use ofd_sql::{ErrorKind, Scope, Sql};
use support::*;

const COUNT: u32 = 60;

/// He among everybody, and alone; of the documents of each world this part is compacted.
fn worlds(compacted: (u32, u32)) -> [World; 2] {
    let part = |documents: &[_]| documents.len() * compacted.0 as usize / compacted.1 as usize;
    let (everybody, alone) = (everybody(COUNT), alone(COUNT));
    [World::with(&everybody, part(&everybody)), World::with(&alone, part(&alone))]
}

/// What an answer is: its rows in the order of their text, or the kind and words of its error.
fn outcome(sql: &Sql, question: &str) -> Result<Vec<String>, (ErrorKind, String)> {
    let mut lines = ask(sql, question).map_err(|error| (error.kind(), error.to_string()))?;
    lines.sort();
    Ok(lines)
}

/// Questions that have been tried on such systems before.
#[test]
fn known_ways_to_the_rows_of_others_end_at_his_own() {
    let [among, alone] = worlds((2, 3));
    let (among, alone) = (among.sql(tenant()), alone.sql(tenant()));
    for question in [
        "SELECT count(*) AS n FROM documents",
        "SELECT count(*) AS n FROM documents WHERE true OR inn = '5001007322'",
        "SELECT DISTINCT inn FROM documents WHERE inn = '5001007322' OR 1 = 1",
        "SELECT DISTINCT inn FROM documents WHERE inn IS NULL OR inn IS NOT NULL",
        "SELECT * EXCEPT (received_at, answered_at) FROM documents WHERE inn <> '7704211201'",
        "SELECT * EXCEPT (received_at, answered_at) FROM documents",
        "SELECT * FROM items",
        "SELECT min(fd) AS a, max(fd) AS b, min(fn) AS c, max(fn) AS d, max(inn) AS e, min(date) AS f, max(date) AS g FROM documents",
        "SELECT count(inn) AS a, count(*) AS b, count(DISTINCT fn) AS c, approx_distinct(fn) AS d FROM items",
        // An error, or the time it takes, would tell of a row.
        "SELECT fd FROM documents WHERE 1 / (fd - 1017) < 0",
        "SELECT fd FROM documents WHERE inn = '7704211201' AND 1 / (fd - 1017) < 0",
        "SELECT fd FROM documents WHERE 1 / (fd - 1017) < 0 AND inn = '5001007322'",
        "SELECT CAST(user_name AS BIGINT) AS n, count(*) AS c FROM documents GROUP BY 1",
        "SELECT fd FROM documents WHERE CAST(user_name AS BIGINT) > 1",
        "SELECT CASE WHEN max(fd) > 1000 THEN 1 / 0 ELSE 1 END AS x FROM documents",
        "SELECT a.fd FROM documents a JOIN documents b ON a.fd = b.fd - 999",
        "SELECT a.inn FROM documents a FULL JOIN items b ON a.fn = b.fn AND a.fd = b.fd WHERE a.inn IS NULL OR b.inn IS NULL",
        "SELECT (SELECT count(*) FROM documents b WHERE b.inn <> a.inn) AS n FROM documents a LIMIT 1",
        "SELECT 1 AS x WHERE EXISTS (SELECT 1 FROM documents WHERE inn = '5001007322')",
        "WITH documents AS (SELECT * FROM items) SELECT count(*) AS n FROM documents",
        "SELECT count(*) AS n FROM ofd.public.documents",
        "SELECT count(*) AS n FROM public.documents",
        "SELECT count(*) OVER () AS n, lag(fd) OVER (ORDER BY fn, fd, variant) AS before, fd FROM documents",
        "SELECT fd FROM documents ORDER BY fn DESC, fd DESC, variant LIMIT 3",
        "SELECT fd FROM documents ORDER BY inn = '7704211201', fn, fd, variant LIMIT 3 OFFSET 2",
        "SELECT inn FROM кассы",
        "SELECT * FROM выручка_по_дням",
        "SELECT инн, count(*) AS n FROM позиции GROUP BY 1",
        "EXPLAIN SELECT * FROM documents WHERE inn = '5001007322' AND date = '2024-05-17'",
        "EXPLAIN SELECT count(*) FROM documents",
        "EXPLAIN SELECT max(fd) FROM documents a JOIN items b USING (fn, fd)",
        "EXPLAIN VERBOSE SELECT * FROM items ORDER BY fd LIMIT 5",
        "EXPLAIN ANALYZE SELECT * FROM documents",
        // What there is of him alone is not there for him.
        "SELECT * FROM containers",
        "SELECT * FROM records",
        "SELECT * FROM ofd.public.containers",
        "SELECT position FROM documents",
        "SELECT partition_seq FROM documents",
        "SELECT * FROM items WHERE position = 1",
        "SELECT max(shift) AS a, count(*) AS n, sum(revenue) AS r FROM shifts",
        "SELECT count(*) AS n, max(actual) AS a, min(actual) AS b FROM violations",
        "SELECT * EXCEPT (seen_at) FROM violations",
        "SELECT * EXCEPT (received_at) FROM shifts",
        "SELECT position FROM violations",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.df_settings",
        "SHOW TABLES",
        "SELECT input_file_name() FROM documents",
        "SELECT file_row_index() FROM documents",
        "SELECT * FROM documents_stats",
    ] {
        let (here, there) = (outcome(&among, question), outcome(&alone, question));
        assert_eq!(here, there, "{question}");
        let told = format!("{here:?}");
        for other in ["5001007322", "7707083893", "9960440300000002", ".parquet", "p-0"] {
            assert!(question.contains(other) || !told.contains(other), "{question}: {told}");
        }
    }
    let refused = |question: &str| outcome(&among, question).unwrap_err().0;
    assert_eq!(refused("SELECT * FROM containers"), ErrorKind::Statement);
    assert_eq!(refused("EXPLAIN ANALYZE SELECT * FROM documents"), ErrorKind::Refused);
    assert_eq!(told(&among, "SELECT count(*) AS n FROM documents"), ["{\"n\":60}"]);
}

/// A scope of several, of nobody, and of one whom nobody knows.
#[test]
fn a_scope_is_the_sum_of_its_users() {
    let [world, _] = worlds((1, 2));
    let count = |inns: &[&str]| {
        let sql = world.sql(Scope::users(inns.iter().map(|it| (*it).to_owned())));
        told(&sql, "SELECT count(*) AS n, count(DISTINCT inn) AS users FROM documents").remove(0)
    };
    assert_eq!(count(&USERS[..2]), "{\"n\":120,\"users\":2}");
    assert_eq!(count(&USERS), "{\"n\":180,\"users\":3}");
    assert_eq!(count(&[]), "{\"n\":0,\"users\":0}");
    assert_eq!(count(&["1"]), "{\"n\":0,\"users\":0}");
    // A list that is too long for statistics.
    let many: Vec<String> = (0..500).map(|it| format!("{it:010}")).chain([USERS[2].to_owned()]).collect();
    let sql = world.sql(Scope::users(many));
    assert_eq!(
        told(&sql, "SELECT inn, count(*) AS n FROM documents GROUP BY inn"),
        ["{\"inn\":\"7707083893\",\"n\":60}"]
    );
}

/// Numbers out of a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn some(&mut self, of: &[&'static str], most: usize) -> Vec<&'static str> {
        let mut left = of.to_vec();
        let count = 1 + self.below(most.min(left.len()));
        (0..count).map(|_| left.swap_remove(self.below(left.len()))).collect()
    }
}

/// What can be asked of a table: texts, numbers, money.
struct Kind {
    name: &'static str,
    texts: &'static [&'static str],
    numbers: &'static [&'static str],
    money: &'static [&'static str],
}

const TABLES: &[Kind] = &[
    Kind {
        name: "documents",
        texts: &["inn", "fn", "rnm", "form", "user_name", "address", "cashier", "realm", "ffd"],
        numbers: &["fd", "variant", "direction", "revenue_sign", "form_code", "items_n", "shift"],
        money: &["total", "cash", "vat20", "turnover_no_vat"],
    },
    Kind {
        name: "items",
        texts: &["inn", "fn", "rnm", "form", "name", "realm", "unit"],
        numbers: &["fd", "variant", "direction", "revenue_sign", "line", "vat_rate"],
        money: &["sum", "price"],
    },
    Kind {
        name: "чеки",
        texts: &["инн", "фн", "рнм", "форма", "пользователь", "адрес"],
        numbers: &["фд", "знак", "позиций", "смена"],
        money: &["сумма", "выручка", "наличными"],
    },
    Kind {
        name: "items_sold",
        texts: &["inn", "fn", "rnm", "name"],
        numbers: &["fd", "line", "direction", "revenue_sign"],
        money: &["sum", "revenue"],
    },
    Kind {
        name: "revenue_by_day",
        texts: &["inn"],
        numbers: &["receipts", "returns"],
        money: &["revenue", "returned"],
    },
    Kind {
        name: "violations",
        texts: &["inn", "fn", "rule", "actual", "expected"],
        numbers: &["fd", "line", "variant", "tag"],
        money: &[],
    },
    Kind {
        name: "нарушения",
        texts: &["инн", "фн", "проверка", "есть"],
        numbers: &["фд", "строка", "реквизит"],
        money: &[],
    },
    Kind {
        name: "shifts",
        texts: &["inn", "fn", "state", "cashier"],
        numbers: &["shift", "close_fd", "receipts", "revision"],
        money: &["revenue", "sell_cash"],
    },
    Kind {
        name: "смены",
        texts: &["инн", "фн", "сверка"],
        numbers: &["смена", "фд_закрытия", "чеков"],
        money: &["выручка", "наличными"],
    },
    Kind {
        name: "кассы",
        texts: &["инн", "рнм", "фн", "адрес"],
        numbers: &["накопителей", "документов", "чеков"],
        money: &[],
    },
];

impl Kind {
    fn all(&self) -> Vec<&'static str> {
        [self.texts, self.numbers, self.money].concat()
    }

    /// A condition; none of them fails on a row of the tenant's, and some do on every row of others.
    fn condition(&self, dice: &mut Dice, depth: usize) -> String {
        if depth > 0 && dice.below(2) == 0 {
            let (one, other) = (self.condition(dice, depth - 1), self.condition(dice, depth - 1));
            return match dice.below(4) {
                0 => format!("({one} AND {other})"),
                1 => format!("({one} OR {other})"),
                2 => format!("NOT ({one})"),
                _ => format!("({one} OR true)"),
            };
        }
        let (text, number) = (dice.one(self.texts), dice.one(self.numbers));
        let owner = self.texts[0];
        let values = [
            "'7704211201'",
            "'5001007322'",
            "'9960440300000001'",
            "'9960440300000002'",
            "'receipt'",
            "'1'",
            "''",
        ];
        match dice.below(16) {
            0 => format!("{text} = {}", dice.one(&values)),
            1 => format!("{text} <> {}", dice.one(&values)),
            2 => format!("{text} > {}", dice.one(&values)),
            3 => format!("{text} IN ({}, {})", dice.one(&values), dice.one(&values)),
            4 => format!("{text} IS NULL"),
            5 => format!("{text} LIKE '%{}%'", dice.one(&["0", "Ро", "рт", "9960440300000002", ""])),
            6 => format!("{number} > {}", dice.below(1100)),
            7 => format!("{number} BETWEEN {} AND {}", dice.below(30), dice.below(1100)),
            8 => format!("{number} % 2 = {}", dice.below(2)),
            9 => format!("{owner} <> '7704211201'"),
            10 => format!("1 / CASE WHEN {owner} = '7704211201' THEN 1 ELSE 0 END = 1"),
            11 => format!("CAST(CASE WHEN {owner} = '7704211201' THEN '1' ELSE 'x' END AS BIGINT) = 1"),
            12 => format!(
                "{owner} IN (SELECT {} FROM {})",
                "inn",
                dice.one(&["documents", "items", "receipts"])
            ),
            13 => format!(
                "EXISTS (SELECT 1 FROM documents o WHERE o.inn {} '7704211201')",
                dice.one(&["=", "<>"])
            ),
            14 => format!("{number} < (SELECT max(fd) FROM {})", dice.one(&["documents", "items"])),
            _ => format!("coalesce({text}, 'x') >= {}", dice.one(&values)),
        }
    }

    fn rest(&self, dice: &mut Dice) -> String {
        match dice.below(3) {
            0 => String::new(),
            _ => format!(" WHERE {}", self.condition(dice, 2)),
        }
    }
}

/// A question out of a seed.
fn question(dice: &mut Dice) -> String {
    let table = &TABLES[dice.below(TABLES.len())];
    let columns = dice.some(&table.all(), 4);
    let list = columns.join(", ");
    let (name, rest) = (table.name, table.rest(dice));
    let text = dice.one(table.texts);
    let number = dice.one(table.numbers);
    let sum = table.money.first().copied().unwrap_or(number);
    let asked = match dice.below(11) {
        0 => format!("SELECT {list} FROM {name}{rest}"),
        1 => format!("SELECT DISTINCT {list} FROM {name}{rest}"),
        2 => format!(
            "SELECT {list} FROM {name}{rest} ORDER BY {list} LIMIT {} OFFSET {}",
            dice.below(9),
            dice.below(4)
        ),
        3 => format!(
            "SELECT {text}, count(*) AS n, sum({sum}) AS s, min({number}) AS a, max({number}) AS b, count(DISTINCT {text}) AS d FROM {name}{rest} GROUP BY {text} HAVING count(*) > {}",
            dice.below(3)
        ),
        4 => format!(
            "SELECT count(*) AS n, max({text}) AS a, min({text}) AS b, avg({number}) AS c FROM {name}{rest}"
        ),
        5 => {
            let join = dice.one(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
            format!(
                "SELECT a.inn, a.fd, b.line, b.sum FROM documents a {join} items b ON a.fn = b.fn AND a.fd = b.fd + {} AND a.variant = b.variant",
                dice.below(2) * 999
            )
        }
        6 => {
            let kind = dice.one(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
            format!(
                "SELECT {text} AS x FROM {name}{rest} {kind} SELECT {} FROM documents",
                dice.one(&["inn", "fn", "form"])
            )
        }
        7 => format!(
            "SELECT {list}, row_number() OVER (PARTITION BY {text} ORDER BY {}) AS place, count(*) OVER (PARTITION BY {number}) AS n, sum({sum}) OVER () AS s FROM (SELECT DISTINCT {} FROM {name}{rest})",
            table.all().join(", "),
            table.all().join(", ")
        ),
        8 => format!(
            "WITH own AS (SELECT {list}, {text} AS k FROM {name}{rest}) SELECT k, count(*) AS n FROM own WHERE k IN (SELECT k FROM own ORDER BY k LIMIT 3) GROUP BY k"
        ),
        9 => format!(
            "SELECT n, count(*) AS c FROM (SELECT {text}, count(*) AS n FROM {name}{rest} GROUP BY {text}) GROUP BY n"
        ),
        _ => format!(
            "SELECT {text}, (SELECT count(*) FROM documents d WHERE d.fd = t.{number}) AS n FROM {name} t"
        ),
    };
    if dice.below(8) == 0 { format!("EXPLAIN {asked}") } else { asked }
}

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|it| it.parse().unwrap())
}

/// What the known ways are not: nobody's idea. Every question is put to him among others, to him alone, and to the operator
/// of the archive that has him alone, who has no wall below his questions.
#[test]
fn random_questions_have_the_same_answers_as_without_others() {
    let seeds = match number_of("OFD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number_of("OFD_SQL_SEEDS").unwrap_or(400),
    };
    let parts = [(0, 1), (1, 2), (1, 1)].map(worlds);
    let asked = parts
        .each_ref()
        .map(|[among, alone]| [among.sql(tenant()), alone.sql(tenant()), alone.sql(Scope::Everything)]);
    let (mut rows, mut empty, mut failed) = (0, 0, 0);
    for seed in seeds {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        (0..5).for_each(|_| _ = dice.below(2));
        let [among, alone, operator] = &asked[dice.below(asked.len())];
        let question = question(&mut dice);
        let here = outcome(among, &question);
        assert_eq!(here, outcome(alone, &question), "OFD_SEED={seed}: {question}");
        if !question.starts_with("EXPLAIN") {
            assert_eq!(here, outcome(operator, &question), "OFD_SEED={seed}, operator: {question}");
        }
        match here {
            Ok(lines) if lines.is_empty() => empty += 1,
            Ok(lines) => {
                rows += lines.len();
                let told = lines.join("\n");
                assert!(
                    !told.contains("9960440300000003") && !told.contains("Ромашка"),
                    "{question}: {told}"
                );
            }
            Err((kind, text)) => {
                failed += 1;
                println!("OFD_SEED={seed} {kind:?} {text}: {question}");
            }
        }
    }
    println!("{rows} rows, {empty} empty answers, {failed} errors");
    assert_eq!(failed, 0, "a question that fails shows nothing");
}
