//! A pod's status: what the kubelet knows of its containers, and the phase and conditions that follow from it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateTerminated, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::watch;

/// Which of a pod's lists a container stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// `initContainers`.
    Init,
    /// `containers`.
    Main,
}

/// A decision about the whole pod that its containers' states alone do not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `Failed` or `Succeeded`.
    pub phase: &'static str,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// What the kubelet knows of one pod.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// States of the init containers, in the order of the spec.
    pub init: Vec<ContainerStatus>,
    /// States of the containers, in the order of the spec.
    pub main: Vec<ContainerStatus>,
    /// The pod's address, once it has a network.
    pub pod_ip: Option<Ipv4Addr>,
    /// When the kubelet took the pod on.
    pub start_time: Option<Timestamp>,
    /// A decision about the whole pod.
    pub verdict: Option<Verdict>,
    conditions: Vec<PodCondition>,
}

impl Facts {
    /// Notes that the pod's namespaces are gone, and what ran in them was killed.
    pub fn lose_sandbox(&mut self, now: Timestamp) {
        self.pod_ip = None;
        for status in self.init.iter_mut().chain(&mut self.main) {
            let Some(run) = status.state.as_ref().and_then(|state| state.running.clone()) else { continue };
            status.state = Some(terminated(ContainerStateTerminated {
                exit_code: 137,
                signal: Some(9),
                reason: Some("Error".to_owned()),
                message: Some("the pod's sandbox was lost".to_owned()),
                started_at: run.started_at,
                finished_at: Some(Time(now)),
                container_id: status.container_id.clone(),
            }));
            (status.ready, status.started) = (false, Some(false));
        }
    }
}

/// The facts of one pod, shared by its tasks, with a signal at every change.
#[derive(Debug)]
pub struct Board {
    facts: Mutex<Facts>,
    changed: watch::Sender<u64>,
}

/// The state of a container that waits.
pub fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = k8s_openapi::api::core::v1::ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

/// The state of a container that runs.
pub fn running(since: Timestamp) -> ContainerState {
    let running = k8s_openapi::api::core::v1::ContainerStateRunning { started_at: Some(Time(since)) };
    ContainerState { running: Some(running), ..ContainerState::default() }
}

/// The state of a container that has ended.
pub fn terminated(end: ContainerStateTerminated) -> ContainerState {
    ContainerState { terminated: Some(end), ..ContainerState::default() }
}

impl Board {
    /// The board of a pod that was just taken on.
    pub fn new(pod: &Pod, now: Timestamp) -> Self {
        let blank = |container: &Container, reason: &str| ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            started: Some(false),
            state: Some(waiting(reason, None)),
            ..ContainerStatus::default()
        };
        let spec = pod.spec.clone().unwrap_or_default();
        let has_init = spec.init_containers.as_ref().is_some_and(|init| !init.is_empty());
        let reason = if has_init { "PodInitializing" } else { "ContainerCreating" };
        let facts = Facts {
            init: spec.init_containers.iter().flatten().map(|container| blank(container, "PodInitializing")).collect(),
            main: spec.containers.iter().map(|container| blank(container, reason)).collect(),
            start_time: Some(now),
            ..Facts::default()
        };
        Self { facts: Mutex::new(facts), changed: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the facts and wakes who listens.
    pub fn update(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock());
        self.changed.send_modify(|version| *version += 1);
    }

    /// Changes one container's status.
    pub fn update_container(&self, role: Role, name: &str, change: impl FnOnce(&mut ContainerStatus)) {
        self.update(|facts| {
            let list = match role {
                Role::Init => &mut facts.init,
                Role::Main => &mut facts.main,
            };
            if let Some(status) = list.iter_mut().find(|status| status.name == name) {
                change(status);
            }
        });
    }

    /// One container's status.
    pub fn container(&self, role: Role, name: &str) -> Option<ContainerStatus> {
        let facts = self.lock();
        let list = match role {
            Role::Init => &facts.init,
            Role::Main => &facts.main,
        };
        list.iter().find(|status| status.name == name).cloned()
    }

    /// A receiver that is woken by every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The status to publish. Transition times are kept while a condition does not change.
    pub fn status(&self, pod: &Pod, host: IpAddr, now: Timestamp) -> PodStatus {
        compute(&mut self.lock(), pod, host, now)
    }
}

/// Whether an init container keeps running beside the others (a sidecar).
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    status.state.as_ref().and_then(|state| state.terminated.as_ref()).map(|end| end.exit_code)
}

fn is_initialized(spec: &PodSpec, init: &[ContainerStatus]) -> bool {
    let containers = spec.init_containers.as_deref().unwrap_or_default();
    containers.iter().zip(init).all(|(container, status)| match is_sidecar(container) {
        true => status.started == Some(true),
        false => exit_code(status) == Some(0),
    })
}

/// The pod's phase, as a kubelet derives it.
fn phase(spec: &PodSpec, facts: &Facts) -> &'static str {
    if let Some(verdict) = &facts.verdict {
        return verdict.phase;
    }
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    let (mut waiting, mut running, mut stopped, mut succeeded) = (0, 0, 0, 0);
    for status in &facts.main {
        let state = status.state.clone().unwrap_or_default();
        if state.running.is_some() {
            running += 1;
        } else if let Some(end) = state.terminated {
            stopped += 1;
            succeeded += usize::from(end.exit_code == 0);
        } else if let Some(last) = status.last_state.as_ref().and_then(|last| last.terminated.as_ref()) {
            stopped += 1;
            succeeded += usize::from(last.exit_code == 0);
        } else {
            waiting += 1;
        }
    }
    if !is_initialized(spec, &facts.init) && running + stopped == 0 {
        let containers = spec.init_containers.as_deref().unwrap_or_default();
        let failed = containers
            .iter()
            .zip(&facts.init)
            .any(|(container, status)| !is_sidecar(container) && exit_code(status).is_some_and(|code| code != 0));
        return if failed && policy == "Never" { "Failed" } else { "Pending" };
    }
    match (waiting, running, stopped) {
        (1.., _, _) => "Pending",
        (0, 1.., _) => "Running",
        (0, 0, 0) => "Pending",
        _ if policy == "Always" => "Running",
        _ if stopped == succeeded => "Succeeded",
        _ if policy == "Never" => "Failed",
        _ => "Running",
    }
}

struct Outcome {
    type_: &'static str,
    is_true: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

fn conditions(pod: &Pod, spec: &PodSpec, facts: &Facts, phase: &str) -> Vec<Outcome> {
    let plain = |type_, is_true| Outcome { type_, is_true, reason: None, message: None };
    let unready = |list: &[ContainerStatus]| -> Vec<String> {
        list.iter().filter(|status| !status.ready).map(|status| status.name.clone()).collect()
    };
    let done = phase == "Succeeded" || phase == "Failed";
    let mut initialized = plain("Initialized", is_initialized(spec, &facts.init) || phase == "Succeeded");
    if !initialized.is_true {
        initialized.reason = Some("ContainersNotInitialized");
        initialized.message = Some(format!("containers with incomplete status: [{}]", unready(&facts.init).join(" ")));
    }
    let mut containers_ready = plain("ContainersReady", !done && initialized.is_true && facts.main.iter().all(|status| status.ready));
    if !containers_ready.is_true {
        containers_ready.reason = Some(if done { "PodCompleted" } else { "ContainersNotReady" });
        containers_ready.message = (!done).then(|| format!("containers with unready status: [{}]", unready(&facts.main).join(" ")));
    }
    let gates: Vec<&str> = spec.readiness_gates.iter().flatten().map(|gate| gate.condition_type.as_str()).collect();
    let published: Vec<&PodCondition> = pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).collect();
    let closed: Vec<&str> = gates
        .into_iter()
        .filter(|gate| !published.iter().any(|condition| condition.type_ == *gate && condition.status == "True"))
        .collect();
    let mut ready = plain("Ready", containers_ready.is_true && closed.is_empty());
    if !containers_ready.is_true {
        (ready.reason, ready.message) = (containers_ready.reason, containers_ready.message.clone());
    } else if !closed.is_empty() {
        ready.reason = Some("ReadinessGatesNotReady");
        ready.message = Some(format!("corresponding condition of pod readiness gate is not \"True\": [{}]", closed.join(" ")));
    }
    let networked = plain("PodReadyToStartContainers", facts.pod_ip.is_some());
    vec![networked, initialized, ready, containers_ready, plain("PodScheduled", true)]
}

fn compute(facts: &mut Facts, pod: &Pod, host: IpAddr, now: Timestamp) -> PodStatus {
    let spec = pod.spec.clone().unwrap_or_default();
    let phase = phase(&spec, facts);
    let former = std::mem::take(&mut facts.conditions);
    let outcomes = conditions(pod, &spec, facts, phase).into_iter().map(|outcome| {
        let status = if outcome.is_true { "True" } else { "False" };
        let kept = former.iter().find(|condition| condition.type_ == outcome.type_ && condition.status == status);
        PodCondition {
            type_: outcome.type_.to_owned(),
            status: status.to_owned(),
            reason: outcome.reason.map(str::to_owned),
            message: outcome.message,
            last_transition_time: kept.map_or(Some(Time(now)), |condition| condition.last_transition_time.clone()),
            observed_generation: pod.metadata.generation,
            ..PodCondition::default()
        }
    });
    facts.conditions = outcomes.collect();
    let address = facts.pod_ip.map(|address| address.to_string());
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(facts.conditions.clone()),
        container_statuses: Some(facts.main.clone()),
        init_container_statuses: (!facts.init.is_empty()).then(|| facts.init.clone()),
        host_ip: Some(host.to_string()),
        host_ips: Some(vec![HostIP { ip: host.to_string() }]),
        pod_ips: address.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: address,
        start_time: facts.start_time.map(Time),
        reason: facts.verdict.as_ref().map(|verdict| verdict.reason.clone()),
        message: facts.verdict.as_ref().map(|verdict| verdict.message.clone()),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 1));

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "generation": 3}, "spec": spec})).unwrap()
    }

    fn ended(code: i32) -> ContainerState {
        terminated(ContainerStateTerminated { exit_code: code, ..ContainerStateTerminated::default() })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn condition(status: &PodStatus, type_: &str) -> (String, Option<String>) {
        let found = status.conditions.as_ref().unwrap().iter().find(|condition| condition.type_ == type_).unwrap();
        (found.status.clone(), found.reason.clone())
    }

    #[test]
    fn a_pod_becomes_ready_and_keeps_its_transition_times() {
        let pod = pod(json!({"containers": [{"name": "a"}, {"name": "b"}]}));
        let board = Board::new(&pod, at(100));
        let created = board.status(&pod, HOST, at(100));
        assert_eq!(created.phase.as_deref(), Some("Pending"));
        assert_eq!(condition(&created, "Ready"), ("False".into(), Some("ContainersNotReady".into())));
        for name in ["a", "b"] {
            board.update_container(Role::Main, name, |status| {
                status.state = Some(running(at(101)));
                status.ready = true;
            });
        }
        board.update(|facts| facts.pod_ip = Some(Ipv4Addr::new(198, 19, 0, 2)));
        let ready = board.status(&pod, HOST, at(101));
        assert_eq!((ready.phase.as_deref(), ready.pod_ip.as_deref()), (Some("Running"), Some("198.19.0.2")));
        assert_eq!(condition(&ready, "Ready"), ("True".into(), None));
        assert_eq!(ready.observed_generation, Some(3));
        assert_eq!(board.status(&pod, HOST, at(500)), ready, "nothing changed, so nothing is written");
        board.update_container(Role::Main, "b", |status| status.ready = false);
        let unready = board.status(&pod, HOST, at(501));
        let message = unready.conditions.as_ref().unwrap().iter().find(|condition| condition.type_ == "Ready").unwrap().message.clone();
        assert_eq!(message.as_deref(), Some("containers with unready status: [b]"));
    }

    #[test]
    fn phases_follow_exit_codes_and_the_restart_policy() {
        for (policy, codes, expected) in [
            ("Never", [0, 0], "Succeeded"),
            ("Never", [0, 1], "Failed"),
            ("OnFailure", [0, 0], "Succeeded"),
            ("OnFailure", [0, 1], "Running"),
            ("Always", [0, 1], "Running"),
        ] {
            let pod = pod(json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]}));
            let board = Board::new(&pod, at(0));
            for (name, code) in ["a", "b"].into_iter().zip(codes) {
                board.update_container(Role::Main, name, |status| status.state = Some(ended(code)));
            }
            assert_eq!(board.status(&pod, HOST, at(1)).phase.as_deref(), Some(expected), "{policy} {codes:?}");
        }
    }

    #[test]
    fn a_container_that_waits_for_its_restart_leaves_the_pod_running() {
        let pod = pod(json!({"containers": [{"name": "a"}]}));
        let board = Board::new(&pod, at(0));
        board.update_container(Role::Main, "a", |status| {
            status.state = Some(waiting("CrashLoopBackOff", None));
            status.last_state = Some(ended(1));
        });
        let status = board.status(&pod, HOST, at(1));
        assert_eq!((status.phase.as_deref(), condition(&status, "Ready").0.as_str()), (Some("Running"), "False"));
    }

    #[test]
    fn init_containers_hold_the_pod_back() {
        let init = json!([{"name": "i"}, {"name": "side", "restartPolicy": "Always"}]);
        let pod = pod(json!({"restartPolicy": "Never", "initContainers": init, "containers": [{"name": "a"}]}));
        let board = Board::new(&pod, at(0));
        assert_eq!(condition(&board.status(&pod, HOST, at(0)), "Initialized").0, "False");
        board.update_container(Role::Init, "i", |status| status.state = Some(ended(0)));
        assert_eq!(condition(&board.status(&pod, HOST, at(0)), "Initialized").0, "False", "the sidecar has not started");
        board.update_container(Role::Init, "side", |status| status.started = Some(true));
        assert_eq!(condition(&board.status(&pod, HOST, at(0)), "Initialized").0, "True");
        board.update_container(Role::Init, "i", |status| status.state = Some(ended(2)));
        assert_eq!(board.status(&pod, HOST, at(0)).phase.as_deref(), Some("Failed"));
    }

    #[test]
    fn a_readiness_gate_is_read_from_the_published_status() {
        let mut pod = pod(json!({"containers": [{"name": "a"}], "readinessGates": [{"conditionType": "example.org/in-service"}]}));
        let board = Board::new(&pod, at(0));
        board.update_container(Role::Main, "a", |status| {
            status.state = Some(running(at(0)));
            status.ready = true;
        });
        let closed = board.status(&pod, HOST, at(1));
        assert_eq!(condition(&closed, "Ready"), ("False".into(), Some("ReadinessGatesNotReady".into())));
        assert_eq!(condition(&closed, "ContainersReady").0, "True");
        let gate = json!({"conditions": [{"type": "example.org/in-service", "status": "True"}]});
        pod.status = Some(serde_json::from_value(gate).unwrap());
        assert_eq!(condition(&board.status(&pod, HOST, at(2)), "Ready").0, "True");
    }
}
