//! What is asked: one question, or an error that says what else it was.

use std::collections::VecDeque;

use datafusion::common::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;

use crate::error::{Error, ErrorKind, Stage};
use crate::scope::Scope;

/// Longest text of a question, bytes. Planning takes time by the length, and cannot be interrupted.
const SQL_LEN_MAX: usize = 256 * 1024;
/// Depth of parentheses and subqueries.
const DEPTH_MAX: usize = 50;

/// A question.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Its rows.
    Rows(Statement),
    /// How it would be answered.
    Plan(Statement),
}

/// Reads the text.
pub(crate) fn read(sql: &str) -> Result<Asked, Error> {
    if sql.len() > SQL_LEN_MAX {
        let text = format!("the question has {} bytes, at most {SQL_LEN_MAX} are read", sql.len());
        return Err(Error::new(ErrorKind::Statement, text));
    }
    let mut statements = parse(sql).map_err(|error| {
        let error = Error::of(&error, Stage::Planning, &Scope::Everything);
        Error::new(ErrorKind::Statement, error.to_string())
    })?;
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err(Error::new(ErrorKind::Statement, "one question at a time: a SELECT, WITH or EXPLAIN"));
    };
    match statement {
        Statement::Explain(explain) => {
            if explain.options.analyze {
                return refused("EXPLAIN ANALYZE tells of data that was read");
            }
            match *explain.statement {
                Statement::Statement(inner) => question(*inner).map(Asked::Plan),
                _ => refused("EXPLAIN of something that is no question"),
            }
        }
        Statement::Statement(inner) => question(*inner).map(Asked::Rows),
        other => refused(&first_words(&other.to_string())),
    }
}

fn parse(sql: &str) -> Result<VecDeque<Statement>, DataFusionError> {
    DFParserBuilder::new(sql)
        .with_dialect(&GenericDialect)
        .with_recursion_limit(DEPTH_MAX)
        .build()?
        .parse_statements()
}

fn question(statement: SqlStatement) -> Result<Statement, Error> {
    match statement {
        SqlStatement::Query(query) if !locks(&query) => {
            Ok(Statement::Statement(Box::new(SqlStatement::Query(query))))
        }
        SqlStatement::Query(_) => refused("SELECT … FOR UPDATE"),
        other => refused(&first_words(&other.to_string())),
    }
}

fn locks(query: &Query) -> bool {
    !query.locks.is_empty()
}

fn refused<T>(what: &str) -> Result<T, Error> {
    Err(Error::new(
        ErrorKind::Refused,
        format!("not answered here: {what}. Ask with SELECT, WITH or EXPLAIN"),
    ))
}

/// The beginning of a statement, for the error.
fn first_words(text: &str) -> String {
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a failed test may panic")]
    use super::*;

    fn kind(sql: &str) -> Option<ErrorKind> {
        read(sql).err().map(|error| error.kind())
    }

    /// What writes, sets, loads or names a file must not even reach the planner.
    #[test]
    fn nothing_but_a_question_is_answered() {
        for question in [
            "SELECT 1",
            "select * from documents;",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "VALUES (1)",
            "SELECT 1 UNION ALL SELECT 2 ORDER BY 1",
            "SELECT сумма FROM чеки",
        ] {
            assert!(matches!(read(question), Ok(Asked::Rows(_))), "{question}");
        }
        for question in
            ["EXPLAIN SELECT 1", "EXPLAIN VERBOSE SELECT * FROM items", "EXPLAIN (VERBOSE) SELECT 1"]
        {
            assert!(matches!(read(question), Ok(Asked::Plan(_))), "{question}");
        }
        for refused in [
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'",
            "CREATE TABLE t AS SELECT 1",
            "CREATE VIEW v AS SELECT 1",
            "COPY documents TO '/tmp/x.parquet'",
            "COPY (SELECT 1) TO 'x.csv'",
            "SET datafusion.execution.target_partitions = 1",
            "RESET datafusion.execution.target_partitions",
            "INSERT INTO documents SELECT * FROM documents",
            "UPDATE documents SET inn = '1'",
            "DELETE FROM documents",
            "DROP TABLE documents",
            "SHOW TABLES",
            "SHOW ALL",
            "DESCRIBE documents",
            "EXPLAIN ANALYZE SELECT 1",
            "EXPLAIN (ANALYZE) SELECT 1",
            "EXPLAIN INSERT INTO documents SELECT 1",
            "EXPLAIN COPY documents TO 'x'",
            "EXPLAIN EXPLAIN SELECT 1",
            "PREPARE p AS SELECT 1",
            "BEGIN",
            "SELECT * FROM documents FOR UPDATE",
        ] {
            let kind = kind(refused);
            assert!(matches!(kind, Some(ErrorKind::Refused | ErrorKind::Statement)), "{refused}: {kind:?}");
        }
        assert_eq!(kind("CREATE TABLE t AS SELECT 1"), Some(ErrorKind::Refused));
        for broken in ["", ";", "SELEC 1", "SELECT 1; SELECT 2", "SELECT (", "\0"] {
            assert_eq!(kind(broken), Some(ErrorKind::Statement), "{broken:?}");
        }
    }

    /// The parser and the planner walk down by recursion: depth and length are bounded before they begin.
    #[test]
    fn a_question_without_end_is_refused() {
        let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(kind(&deep), Some(ErrorKind::Statement));
        let long = format!("SELECT {}", "1,".repeat(SQL_LEN_MAX));
        assert_eq!(kind(&long), Some(ErrorKind::Statement));
    }
}
