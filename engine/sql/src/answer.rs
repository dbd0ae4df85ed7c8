//! An answer on its way: rows come from the threads of the session, batch by batch, as fast as they are taken.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::error::{Error, ErrorKind};
use crate::session::Machine;
use crate::value::{Kind, Values};

/// Batches that wait for the reader.
const WAITING_MAX: usize = 2;

pub(crate) enum Message {
    Begin(SchemaRef),
    Rows(RecordBatch),
    Failed(Error),
    End,
}

/// The side of the session.
pub(crate) struct Sender {
    messages: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
}

impl Sender {
    /// Waits for room; without a reader nothing happens.
    pub(crate) async fn send(&self, message: Message) {
        if matches!(message, Message::Rows(_))
            && let Ok(permit) = self.room.acquire().await
        {
            permit.forget();
        }
        let _ = self.messages.send(message);
    }
}

/// The side of the reader, before the first row.
pub(crate) struct Pending {
    messages: Receiver<Message>,
    room: Arc<Semaphore>,
    deadline: Option<Instant>,
    rows_max: u64,
}

pub(crate) fn channel(deadline: Option<Instant>, rows_max: u64) -> (Sender, Pending) {
    let (messages, received) = mpsc::channel();
    let room = Arc::new(Semaphore::new(WAITING_MAX));
    let sender = Sender { messages, room: Arc::clone(&room) };
    (sender, Pending { messages: received, room, deadline, rows_max })
}

impl Pending {
    /// Waits for the columns and the first rows.
    pub(crate) fn begin(self, task: AbortHandle, machine: Arc<Machine>) -> Result<Answer, Error> {
        let Self { messages, room, deadline, rows_max } = self;
        let running = Running { task, _machine: machine };
        let mut answer = Answer {
            columns: Arc::new([]),
            messages,
            room,
            deadline,
            rows_left: rows_max,
            rows_max,
            first: None,
            ended: false,
            running,
        };
        match answer.wait()? {
            Message::Begin(schema) => answer.columns = columns(&schema),
            Message::Failed(error) => return Err(error),
            Message::Rows(_) | Message::End => return Err(broken()),
        }
        answer.first = answer.take()?;
        Ok(answer)
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Defect, "the question ended without an answer")
}

/// Ends the work when nobody waits for it any more.
struct Running {
    task: AbortHandle,
    _machine: Arc<Machine>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerColumn {
    /// Its name in JSON: a second column of the same name gets `_2`.
    pub name: String,
    /// What stands in it.
    pub kind: Kind,
}

fn columns(schema: &SchemaRef) -> Arc<[AnswerColumn]> {
    let mut columns: Vec<AnswerColumn> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut again = 2_u64;
        while columns.iter().any(|it| it.name == name) {
            name = format!("{}_{again}", field.name());
            again = again.saturating_add(1);
        }
        columns.push(AnswerColumn { name, kind: Kind::of(field.data_type()) });
    }
    columns.into()
}

/// The rows of a question, in its order.
pub struct Answer {
    columns: Arc<[AnswerColumn]>,
    messages: Receiver<Message>,
    room: Arc<Semaphore>,
    deadline: Option<Instant>,
    rows_left: u64,
    rows_max: u64,
    first: Option<Rows>,
    ended: bool,
    running: Running,
}

impl Answer {
    /// The columns.
    pub fn columns(&self) -> &[AnswerColumn] {
        &self.columns
    }

    /// The next rows; `None` when there are no more.
    ///
    /// # Errors
    /// `Rows` behind the last row that may be handed out; `Time` when the time is over; else as the question failed. After an
    /// error there are no more rows.
    pub fn next_rows(&mut self) -> Result<Option<Rows>, Error> {
        match self.first.take() {
            Some(rows) => Ok(Some(rows)),
            None => self.take(),
        }
    }

    fn take(&mut self) -> Result<Option<Rows>, Error> {
        while !self.ended {
            if self.rows_left == 0 {
                // One more row is one too many, and the end is no row.
                return match self.wait()? {
                    Message::Rows(batch) if batch.num_rows() == 0 => continue,
                    Message::Rows(_) => {
                        self.ended = true;
                        let text = format!("the answer has more than {} rows: ask with LIMIT", self.rows_max);
                        Err(Error::new(ErrorKind::Rows, text))
                    }
                    Message::Failed(error) => self.fail(error),
                    _ => {
                        self.ended = true;
                        Ok(None)
                    }
                };
            }
            match self.wait()? {
                Message::Rows(batch) => {
                    self.room.add_permits(1);
                    let rows = batch.num_rows();
                    if rows == 0 {
                        continue;
                    }
                    let left = usize::try_from(self.rows_left).unwrap_or(usize::MAX);
                    if rows > left {
                        // The rest waits for the next call, which tells of it.
                        self.rows_left = 0;
                        self.messages = over(batch.slice(left, 1));
                        return Ok(Some(self.rows(batch.slice(0, left))));
                    }
                    self.rows_left = self.rows_left.saturating_sub(rows as u64);
                    return Ok(Some(self.rows(batch)));
                }
                Message::Failed(error) => return self.fail(error),
                Message::End => self.ended = true,
                Message::Begin(_) => return self.fail(broken()),
            }
        }
        Ok(None)
    }

    fn rows(&self, batch: RecordBatch) -> Rows {
        Rows { batch, columns: Arc::clone(&self.columns) }
    }

    fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        self.ended = true;
        self.running.task.abort();
        Err(error)
    }

    fn wait(&mut self) -> Result<Message, Error> {
        let waited = match self.deadline {
            Some(deadline) => self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match waited {
            Ok(message) => Ok(message),
            Err(RecvTimeoutError::Timeout) => {
                self.fail(Error::new(ErrorKind::Time, "the question took longer than it may"))
            }
            Err(RecvTimeoutError::Disconnected) => self.fail(broken()),
        }
    }
}

/// A channel that holds one batch and is closed.
fn over(batch: RecordBatch) -> Receiver<Message> {
    let (sender, receiver) = mpsc::channel();
    let _ = sender.send(Message::Rows(batch));
    receiver
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// Some rows of an answer.
#[derive(Clone, Debug)]
pub struct Rows {
    batch: RecordBatch,
    columns: Arc<[AnswerColumn]>,
}

impl Rows {
    /// How many; never 0.
    pub fn count(&self) -> usize {
        self.batch.num_rows()
    }

    /// The rows as Arrow has them: for programs that take record batches. Money is DECIMAL(n, 2) in them.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Hands each row on as one JSON object, in the forms that [`Kind`] tells.
    ///
    /// # Errors
    /// `Defect` when a value has no text.
    pub fn each_json(&self, each: &mut dyn FnMut(&str)) -> Result<(), Error> {
        let values = Values::of(&self.batch)?;
        let keys: Vec<String> =
            self.columns.iter().map(|it| serde_json::Value::from(it.name.as_str()).to_string()).collect();
        let mut line = String::new();
        for row in 0..self.count() {
            line.clear();
            line.push('{');
            for (at, key) in keys.iter().enumerate() {
                if at > 0 {
                    line.push(',');
                }
                line.push_str(key);
                line.push(':');
                values.json(at, row, &mut line)?;
            }
            line.push('}');
            each(&line);
        }
        Ok(())
    }

    /// Hands the cells of each row on as text for a person: money in roubles with a point, NULL as `None`.
    ///
    /// # Errors
    /// `Defect` when a value has no text.
    pub fn each_text(&self, each: &mut dyn FnMut(Vec<Option<String>>)) -> Result<(), Error> {
        let values = Values::of(&self.batch)?;
        for row in 0..self.count() {
            let cells = (0..self.columns.len()).map(|at| values.text(at, row));
            each(cells.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(())
    }
}
