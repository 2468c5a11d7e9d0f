//! Killed at any call, an operator's successor comes to the same end: nothing is lost, nothing is there twice, nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use portico_crds::Kind;
use serde_json::Value;

use crate::harness::fuse::{Cut, Fate};
use crate::harness::{Bench, calls, dump, is_full, parse, scenario, secure};

/// The parts of a life, each of which an operator may be killed in.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Creation,
    Update,
    Deletion,
}

pub const PARTS: [Part; 3] = [Part::Creation, Part::Update, Part::Deletion];

/// What happens in a life.
#[derive(Clone, Copy)]
pub struct Story {
    created: fn() -> String,
    updated: fn() -> String,
    /// Objects that go with the update.
    gone: &'static [(Kind, &'static str)],
    deleted: &'static [(Kind, &'static str)],
}

/// Two Gateways with HTTP listeners.
pub const PLAIN: Story = Story {
    created: scenario::created,
    updated: scenario::updated,
    gone: &[(Kind::HttpRoute, "shop/broken")],
    deleted: &[(Kind::Gateway, "shop/edge"), (Kind::Gateway, "shop/inner")],
};

/// A Gateway with HTTPS listeners; certificates are renewed, come and go.
const SECURE: Story = Story { created: secure::created, updated: secure::updated, gone: &[], deleted: &[(Kind::Gateway, "shop/edge")] };

impl Story {
    pub fn begin(self, part: Part, bench: &Bench) {
        match part {
            Part::Creation => bench.put(parse(&(self.created)())),
            Part::Update => {
                bench.put(parse(&(self.updated)()));
                bench.remove(self.gone);
            }
            Part::Deletion => bench.remove(self.deleted),
        }
    }
}

/// What there is after each part if nobody is killed.
pub async fn undisturbed(story: Story) -> Vec<Value> {
    let bench = Bench::start().await;
    let mut ends = vec![];
    let untouched = bench.dump().await["cloud"].clone();
    for part in PARTS {
        story.begin(part, &bench);
        bench.settle().await;
        ends.push(bench.dump().await);
    }
    assert_eq!(ends[2]["cloud"], untouched, "a deletion that nobody disturbed leaves something behind");
    bench.end().await;
    ends
}

/// A life with a kill at the n-th call of each part. Returns whether any part has so many calls.
async fn life(story: Story, cut: Cut, ends: &[Value]) -> bool {
    let mut bench = Bench::start().await;
    let mut reached = false;
    for (part, end) in PARTS.into_iter().zip(ends) {
        bench.fuse.arm(cut);
        story.begin(part, &bench);
        let blown = tokio::select! {
            at = bench.fuse.blown() => Some(at),
            () = bench.settle() => None,
        };
        if let Some(at) = &blown {
            reached = true;
            bench.kill().await;
            bench.launch().await;
            bench.settle().await;
            let found = bench.dump().await;
            assert!(
                found == *end,
                "killed in the {part:?} at call {} ({at}, {:?}), its successor comes to another end:\n{}",
                cut.nth,
                cut.fate,
                dump::differences(end, &found)
            );
        }
    }
    bench.end().await;
    reached
}

/// Lives with kills at `first`, `first + step` … of both fates, several at the same time, until no part has so many calls.
async fn lives(story: Story, mutations: bool, step: u64) -> u64 {
    let ends = Arc::new(undisturbed(story).await);
    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let (ends, next) = (ends.clone(), next.clone());
            tokio::spawn(async move {
                let mut last = 0;
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let fate = if number.is_multiple_of(2) { Fate::AnswerLost } else { Fate::CallLost };
                    // The two fates take turns, so that a sample has both.
                    let nth = 1 + (number / 2) * step + (number % 2) * (step / 2);
                    assert!(nth < 2000, "the scenario has no end");
                    if !life(story, Cut { nth, mutations, fate }, &ends).await {
                        return last;
                    }
                    last = nth;
                }
            })
        })
        .collect();
    let mut last = 0;
    for worker in workers {
        last = last.max(worker.await.unwrap());
    }
    last
}

/// Every call that changes something is a place to die at, before it and after it.
#[tokio::test(flavor = "multi_thread")]
async fn at_any_mutation_a_killed_operators_successor_comes_to_the_same_end() {
    let last = lives(PLAIN, true, if is_full() { 1 } else { 6 }).await;
    assert!(last > 20, "the longest part has only {last} mutations");
}

/// Between mutations there are reads and writes of statuses and finalizers: with `--full`, every call of any kind is a place to die at.
#[tokio::test(flavor = "multi_thread")]
async fn at_any_call_a_killed_operators_successor_comes_to_the_same_end() {
    let last = lives(PLAIN, false, if is_full() { 1 } else { 24 }).await;
    assert!(last > 30, "the longest part has only {last} calls");
}

/// The same with HTTPS listeners and their certificates.
#[tokio::test(flavor = "multi_thread")]
async fn at_any_mutation_about_certificates_a_killed_operators_successor_comes_to_the_same_end() {
    let last = lives(SECURE, true, if is_full() { 1 } else { 5 }).await;
    assert!(last > 10, "the longest part has only {last} mutations");
}

/// Between them listings of certificates and tags are read.
#[tokio::test(flavor = "multi_thread")]
async fn at_any_call_about_certificates_a_killed_operators_successor_comes_to_the_same_end() {
    let last = lives(SECURE, false, if is_full() { 1 } else { 16 }).await;
    assert!(last > 20, "the longest part has only {last} calls");
}

/// Whoever is killed halfway through an update, and whose successor finds that nobody wants it any more, leaves nothing of it: no mark at the cloud says that what was
/// there before is there still.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_is_taken_back_while_nobody_looks_leaves_nothing() {
    let step = if is_full() { 1 } else { 5 };
    let lives = (1..60).step_by(step).map(|nth| async move {
        let mut bench = Bench::start().await;
        bench.put(parse(&scenario::created()));
        bench.settle().await;
        bench.fuse.arm(Cut { nth, mutations: true, fate: Fate::AnswerLost });
        PLAIN.begin(Part::Update, &bench);
        let blown = tokio::select! {
            at = bench.fuse.blown() => Some(at),
            () = bench.settle() => None,
        };
        bench.kill().await;
        bench.put(parse(&scenario::created()));
        bench.launch().await;
        bench.settle().await;
        assert_eq!(bench.plan(&[], &[]).await, calls([]), "killed at call {nth} ({blown:?})");
        bench.end().await;
        blown.is_some()
    });
    let blown = futures::stream::iter(lives).buffered(3).collect::<Vec<_>>().await;
    assert!(blown.contains(&true) && blown.contains(&false), "the update has fewer calls, or more: {blown:?}");
}
