//! Logs of load balancers: their entries, and the book in which they wait until they are delivered.

use std::{
    collections::HashMap,
    fmt::{self, Display, Write as _},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::config::LogStream;

mod access;
mod connection;
mod health_check;
mod network;

pub(super) use access::AccessEntry;
pub(super) use connection::{ClientCertificateFacts, ConnectionEntry};
pub(super) use health_check::{HealthCheckEntry, Outcome as HealthCheckOutcome};
pub(super) use network::FlowEntry;

/// A log of so many bytes is delivered before its time.
const FILE_LIMIT: usize = 1 << 20;
/// More bytes of entries than this do not wait for delivery: AWS logs with best effort, too.
const BOOK_LIMIT: usize = 32 << 20;

/// The entries that wait for delivery. Clones share it. It costs nothing while no load balancer keeps a log.
#[derive(Clone, Debug, Default)]
pub struct LogBook(Arc<Book>);

#[derive(Debug, Default)]
struct Book {
    pages: Mutex<Pages>,
    written: Notify,
    due: Notify,
}

#[derive(Debug, Default)]
struct Pages {
    logs: HashMap<(Arc<LogStream>, IpAddr), String>,
    /// Of all of them.
    bytes: usize,
    dropped: u64,
}

/// Entries of one log, made by one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Which log, and where it goes.
    pub stream: Arc<LogStream>,
    /// The address of the load balancer's node.
    pub node: IpAddr,
    /// One entry a line.
    pub entries: String,
}

/// What waits in the book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Logs with entries.
    pub logs: usize,
    /// Bytes of their entries.
    pub bytes: usize,
    /// Entries that were dropped since the start, because too much was waiting.
    pub dropped: u64,
}

impl LogBook {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry to a log.
    pub(super) fn write(&self, stream: &Arc<LogStream>, node: IpAddr, entry: &impl Display) {
        let mut pages = self.pages();
        if pages.bytes >= BOOK_LIMIT {
            pages.dropped += 1;
            return;
        }
        let first = pages.logs.is_empty();
        let log = pages.logs.entry((Arc::clone(stream), node)).or_default();
        let before = log.len();
        // Writing to a String cannot fail.
        let _ = writeln!(log, "{entry}");
        let after = log.len();
        pages.bytes += after - before;
        drop(pages);
        if first {
            self.0.written.notify_one();
        }
        if before < FILE_LIMIT && after >= FILE_LIMIT {
            self.0.due.notify_one();
        }
    }

    /// Returns when there may be entries.
    pub async fn written(&self) {
        self.0.written.notified().await;
    }

    /// Returns when delivery should not wait for the end of the interval.
    pub async fn due(&self) {
        self.0.due.notified().await;
    }

    /// Makes delivery due.
    pub fn call_for_delivery(&self) {
        self.0.due.notify_one();
    }

    /// Takes out all entries, in the order of logs and nodes.
    pub fn take(&self) -> Vec<LogFile> {
        let taken = {
            let mut pages = self.pages();
            pages.bytes = 0;
            std::mem::take(&mut pages.logs)
        };
        let mut files: Vec<LogFile> = taken.into_iter().map(|((stream, node), entries)| LogFile { stream, node, entries }).collect();
        files.sort_by(|a, b| (&a.stream, a.node).cmp(&(&b.stream, b.node)));
        files
    }

    /// What waits.
    pub fn waiting(&self) -> Waiting {
        let pages = self.pages();
        Waiting { logs: pages.logs.len(), bytes: pages.bytes, dropped: pages.dropped }
    }
}

/// A moment with microseconds, as most entries show it.
fn moment(at: Timestamp) -> impl Display {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
}

/// A value, or `-`.
struct Or<T>(Option<T>);

impl<T: Display> Display for Or<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// A text in double quotes. What would end it or break the line is escaped: `\x22`.
struct Quoted<T>(T);

impl<T: AsRef<str>> Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for letter in self.0.as_ref().chars() {
            if letter == '"' || letter.is_control() {
                write!(f, "\\x{:02X}", u32::from(letter))?;
            } else {
                f.write_char(letter)?;
            }
        }
        f.write_char('"')
    }
}

/// An optional text in double quotes, `"-"` without one.
fn quoted(text: Option<&str>) -> Quoted<&str> {
    Quoted(text.unwrap_or("-"))
}

#[cfg(test)]
mod tests {
    use super::{super::config::LogKind, *};

    fn stream() -> Arc<LogStream> {
        Arc::new(LogStream { kind: LogKind::Access, load_balancer: "app/a/1".into(), bucket: "b".into(), prefix: String::new() })
    }

    #[tokio::test]
    async fn entries_wait_by_log_and_node_until_they_are_taken() {
        let (book, node) = (LogBook::default(), IpAddr::from([127, 0, 0, 1]));
        book.write(&stream(), node, &"one");
        book.write(&stream(), node, &"two");
        book.write(&stream(), IpAddr::from([127, 0, 0, 2]), &"three");
        book.written().await;
        assert_eq!(book.waiting(), Waiting { logs: 2, bytes: 14, dropped: 0 });
        let taken: Vec<String> = book.take().into_iter().map(|file| file.entries).collect();
        assert_eq!(taken, ["one\ntwo\n", "three\n"]);
        assert_eq!(book.waiting(), Waiting::default());
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let (book, node) = (LogBook::default(), IpAddr::from([127, 0, 0, 1]));
        let entry = "x".repeat(FILE_LIMIT - 1);
        for _ in 0..BOOK_LIMIT / FILE_LIMIT {
            book.write(&stream(), node, &entry);
        }
        // Long before that it was to be delivered.
        book.due().await;
        assert_eq!(book.waiting(), Waiting { logs: 1, bytes: BOOK_LIMIT, dropped: 0 });
        book.write(&stream(), node, &entry);
        assert_eq!(book.waiting().dropped, 1);
    }

    #[test]
    fn quoted_texts_stay_one_field() {
        assert_eq!(Quoted("a \"b\"\n").to_string(), r#""a \x22b\x22\x0A""#);
        assert_eq!(quoted(None).to_string(), "\"-\"");
    }
}
