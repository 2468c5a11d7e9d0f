//! The access log.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex},
};

use portico_cloud::dataplane::config::Reachability;
use tokio::io::AsyncWriteExt;
use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::harness::{Backend, Client, World, fixed, forward, group, path, rule, soon};

/// Keeps the access log's lines with their fields.
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.0.insert_str(0, &format!("{value:?}")),
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "portico_cloud::access"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// All tasks run on this test's thread, so that its subscriber hears them.
#[tokio::test]
async fn each_request_is_a_line() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    // With a single dispatcher, tracing asks the thread that first reaches an event whether anyone listens, and remembers its answer for all;
    // that thread may run another test. With two it asks the dispatchers.
    let _second = Dispatch::new(Lines(Arc::default()));
    let _guard = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
    let mut backend = Backend::start("a").await;
    let mut world = World::new();
    world.groups = vec![group("g", &[backend.address]), group("blocked", &[backend.address])];
    world.groups[1].targets[0].reachability = Reachability::Blocked;
    let rules = vec![rule(1, vec![path(&["/fixed"])], fixed("hello")), rule(2, vec![path(&["/blocked"])], forward(&[("blocked", 1)]))];
    let at = world.serve(rules, forward(&[("g", 1)])).await;
    let mut client = Client::connect(at).await;
    client.get("h.example", "/fixed?q=1").await;
    client.get("h.example", "/status/404").await;
    client.get("h.example", "/blocked").await;
    client.send("rubbish\r\n\r\n").await;
    let mut impatient = Client::connect(at).await;
    impatient.stream.write_all(b"GET /slow/60000 HTTP/1.1\r\nHost: h.example\r\n\r\n").await.unwrap();
    soon(backend.busy.wait_for(|busy| *busy == 1)).await.unwrap();
    drop((client, impatient));
    world.plane.shutdown().await;
    let lines = lines.lock().unwrap();
    let expected = [
        ("127.0.0.1 GET h.example/fixed?q=1 200 5 B in ".to_owned(), "rule=rule-1"),
        ("127.0.0.1 GET h.example/status/404 404 ".to_owned(), "rule=default-18080 target_group=g"),
        ("127.0.0.1 GET h.example/blocked 504 ".to_owned(), "note=\"connecting to the target timed out\""),
        ("127.0.0.1 sent a request that cannot be read: 400".to_owned(), ""),
        // The client closed first.
        ("127.0.0.1 GET h.example/slow/60000 460 0 B in ".to_owned(), "target_group=g"),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (start, part)) in lines.iter().zip(&expected) {
        assert!(line.starts_with(start) && line.contains(part), "{line}");
    }
    assert!(lines[1].contains(&format!(" from {}", backend.address)), "{}", lines[1]);
}
