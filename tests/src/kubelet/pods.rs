//! The pods of this node: one watch, one task per pod.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube_client::Api;
use kube_runtime::watcher::Event;
use kube_runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::pod::PodTask;
use super::stop::Stop;

struct Known {
    pod: watch::Sender<Arc<Pod>>,
    stop: Stop,
    gone: CancellationToken,
    ended: bool,
}

/// Starts a task for each pod that is bound to this node, tells it of changes, and at shutdown ends them all.
pub async fn follow(context: Arc<Context>) {
    let pods: Api<Pod> = Api::all(context.client.clone());
    let mine = watcher::Config::default().fields(&format!("spec.nodeName={}", context.config.node_name));
    let stream = watcher(pods, mine).default_backoff().modify(|pod| pod.metadata.managed_fields = None);
    let mut stream = std::pin::pin!(stream);
    let mut known: HashMap<String, Known> = HashMap::new();
    let mut listed: Option<Vec<String>> = None;
    let mut tasks: JoinSet<String> = JoinSet::new();
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            Some(ended) = tasks.join_next() => {
                // Its object's last events may still be on their way: they must not start it again.
                if let Ok(uid) = ended && let Some(entry) = known.get_mut(&uid) {
                    entry.ended = true;
                }
                known.retain(|_, entry| !(entry.ended && entry.gone.is_cancelled()));
                continue;
            }
            () = context.shutdown.cancelled() => break,
        };
        match event {
            Some(Ok(Event::Apply(pod))) => apply(&context, &mut known, &mut tasks, pod),
            Some(Ok(Event::Delete(pod))) => forget(&mut known, pod.metadata.uid.as_deref()),
            Some(Ok(Event::Init)) => listed = Some(Vec::new()),
            Some(Ok(Event::InitApply(pod))) => {
                if let Some(listed) = &mut listed {
                    listed.extend(pod.metadata.uid.clone());
                }
                apply(&context, &mut known, &mut tasks, pod);
            }
            Some(Ok(Event::InitDone)) => {
                let listed = listed.take().unwrap_or_default();
                let absent: Vec<String> = known.keys().filter(|uid| !listed.contains(uid)).cloned().collect();
                for uid in absent {
                    forget(&mut known, Some(&uid));
                }
            }
            Some(Err(error)) => tracing::debug!(%error, "watching pods"),
            None => break,
        }
    }
    for pod in known.values() {
        pod.stop.order(Duration::ZERO);
    }
    while tasks.join_next().await.is_some() {}
}

fn apply(context: &Arc<Context>, known: &mut HashMap<String, Known>, tasks: &mut JoinSet<String>, pod: Pod) {
    let Some(uid) = pod.metadata.uid.clone() else { return };
    let grace = pod.metadata.deletion_timestamp.as_ref().map(|_| {
        let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    });
    let pod = Arc::new(pod);
    let entry = known.entry(uid.clone()).or_insert_with(|| {
        let (sender, receiver) = watch::channel(Arc::clone(&pod));
        let (stop, gone) = (Stop::default(), CancellationToken::new());
        let task = PodTask { context: Arc::clone(context), pod: receiver, stop: stop.clone(), gone: gone.clone() };
        tasks.spawn(async move {
            task.run().await;
            uid
        });
        Known { pod: sender, stop, gone, ended: false }
    });
    entry.pod.send_replace(pod);
    if let Some(grace) = grace {
        entry.stop.order(grace);
    }
}

/// The object is gone: what still runs (its deletion was forced) ends at once.
fn forget(known: &mut HashMap<String, Known>, uid: Option<&str>) {
    let Some(uid) = uid else { return };
    if let Some(entry) = known.get(uid) {
        entry.stop.order(Duration::ZERO);
        entry.gone.cancel();
        if entry.ended {
            known.remove(uid);
        }
    }
}
