//! The control plane: carries calls out on the state and keeps the data plane in step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{CloudConfig, Times};
use crate::dataplane::DataPlane;
use crate::dataplane::config::{DataPlaneOptions, Timing};
use crate::error::{Answer, ApiError, CloudError};
use crate::fault::{Effect, Faults, Loss};
use crate::id::Ids;
use crate::integrity;
use crate::log::{self, Call, CallLog};
use crate::operation::{Kind, Operation};
use crate::projection::Projector;
use crate::service::Service;
use crate::settings::Settings;
use crate::snapshot::StateFile;
use crate::state::State;
use crate::throttle::Throttle;
use crate::wire::{Input, Record};

mod delivery;

/// How long a mutation waits for the data plane before it answers, if changes propagate at once.
const APPLY_PATIENCE: Duration = Duration::from_secs(10);

/// How long changes are gathered before the state file is written.
const SAVE_PAUSE: Duration = Duration::from_millis(300);

/// The control plane of one cloud.
#[derive(Debug)]
pub struct Control {
    state: Mutex<State>,
    log: Mutex<CallLog>,
    faults: Mutex<Faults>,
    throttle: Mutex<Throttle>,
    clock: Clock,
    /// The settings of the start, to which a reset goes back.
    config: CloudConfig,
    plane: DataPlane,
    /// Makes request ids.
    requests: Mutex<Ids>,
    /// Where the state is kept over restarts.
    state_file: Option<StateFile>,
    /// The revision that is in the state file.
    saved: tokio::sync::Mutex<u64>,
    /// The revision that the data plane should serve.
    wanted: watch::Sender<u64>,
    /// The revision that it serves.
    applied: watch::Sender<u64>,
}

/// What a call leads to.
#[derive(Debug)]
#[must_use]
pub struct Outcome {
    /// The answer.
    pub answer: Answer<Record>,
    /// The id that the caller gets.
    pub request_id: String,
    /// What happens to the connection instead of an answer.
    pub loss: Option<Loss>,
}

/// Whether to check the whole state's integrity now: always while it is small, now and then when that would take long.
fn is_due(state: &State) -> bool {
    let size = state.elb.load_balancers.len() + state.elb.target_groups.len();
    size < 100 || state.revision.is_multiple_of(size as u64)
}

/// A call between its arrival and its end, which is also that of a caller who hangs up.
struct InFlight<'a> {
    log: &'a Mutex<CallLog>,
    service: Service,
    operation: &'a str,
}

impl<'a> InFlight<'a> {
    fn begin(log: &'a Mutex<CallLog>, service: Service, operation: &'a str) -> Self {
        lock(log).begin(service.signing_name(), operation);
        Self { log, service, operation }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        lock(self.log).end(self.service.signing_name(), self.operation);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock was held is a defect, but must not take the whole cloud down: operations check before they change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// A control plane with a fresh account and a data plane of its own.
    pub fn new(config: CloudConfig) -> Result<Self, CloudError> {
        let (clock, seed) = (Clock::start(), config.seed);
        let timing = Timing { health_check_scale: config.times.health_check_scale, ..Timing::default() };
        let plane = DataPlane::new(DataPlaneOptions { port_fallback: config.port_fallback, timing, seed: config.seed });
        let (now, health) = (clock.now(), plane.health());
        let state_file = config.state_file.clone().map(StateFile::new);
        let state = match state_file.as_ref().map(|file| file.read(&config)).transpose()?.flatten() {
            Some(kept) => State::resumed(config.clone(), now, health, kept),
            None => State::new(config.clone(), now, health)?,
        };
        if let Some(file) = &state_file {
            file.check(&state)?;
            // A file that cannot be written is better known at the start than at the end.
            file.write(&config, &state.kept())?;
        }
        let revision = state.revision;
        Ok(Self {
            state: Mutex::new(state),
            log: Mutex::new(CallLog::new(config.log_capacity)),
            faults: Mutex::new(Faults::new(config.seed)),
            throttle: Mutex::new(Throttle::new(config.rates, clock.now())),
            clock,
            config,
            plane,
            // Of another seed: how many requests there were must not decide ids of resources.
            requests: Mutex::new(Ids::new(seed.map(u64::reverse_bits))),
            saved: tokio::sync::Mutex::new(revision),
            state_file,
            // What is there at the start is to be served.
            wanted: watch::Sender::new(revision),
            applied: watch::Sender::new(0),
        })
    }

    /// Carries a call out: faults first, then the operation under the lock, then the data plane is brought in step.
    pub async fn call(&self, service: Service, name: &str, input: Input) -> Outcome {
        let in_flight = InFlight::begin(&self.log, service, name);
        let request_id = self.request_id();
        let parameters = log::parameters(&input);
        let found = service.operation(name);
        let kind = found.as_ref().map_or(Kind::Read, |operation| operation.kind);
        let Effect { delay, error, loss } = lock(&self.faults).strike(service.signing_name(), name, kind);
        let delay = delay + self.times().latency;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let throttled = lock(&self.throttle).admit(service, name, kind, self.clock.now()).err();
        let lost_before = loss.filter(|loss| !loss.carried_out).map(|_| ApiError::with_status("InternalFailure", "lost on purpose", 500));
        let answer = match (error.or(throttled).or(lost_before), found) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(error),
            (None, Ok(operation)) => {
                let answer = self.run(service, operation, &input);
                if kind == Kind::Write && answer.is_ok() && self.times().propagation.is_zero() {
                    self.settled().await;
                }
                answer
            }
        };
        let (outcome, message) = match (&answer, loss) {
            (Ok(_), Some(loss)) => (loss.word().to_string(), None),
            (Err(_), Some(loss)) if !loss.carried_out => (loss.word().to_string(), Some("before it was carried out".into())),
            (Ok(_), None) => ("ok".into(), None),
            (Err(error), _) => (error.code.to_string(), Some(error.message.clone())),
        };
        self.record(Call {
            number: 0,
            at: self.clock.now(),
            service: service.signing_name().into(),
            operation: name.into(),
            mutation: kind == Kind::Write,
            parameters,
            outcome,
            message,
            request_id: request_id.clone(),
        });
        drop(in_flight);
        Outcome { answer, request_id, loss }
    }

    fn run(&self, service: Service, operation: Operation, input: &Input) -> Answer<Record> {
        let mut state = lock(&self.state);
        let mut changed = state.advance(self.clock.now());
        let answer = service.run(operation, &mut state, input);
        if operation.kind == Kind::Write && answer.is_ok() {
            state.revision += 1;
            changed = true;
        }
        if changed {
            self.wanted.send_replace(state.revision);
        }
        if cfg!(debug_assertions) && operation.kind == Kind::Write && is_due(&state) {
            for violation in integrity::violations(&state) {
                tracing::error!(target: "portico_cloud", %violation, "the cloud's state does not hold together");
            }
        }
        answer
    }

    /// Puts a call into the log, and a line about it into the program's own.
    fn record(&self, call: Call) {
        let line = format!("{}.{} {}: {}", call.service, call.operation, call.subject(), call.outcome);
        match &call.message {
            Some(message) => tracing::info!(target: "portico_cloud::calls", "{line}: {message}"),
            None if call.mutation => tracing::info!(target: "portico_cloud::calls", "{line}"),
            None => tracing::debug!(target: "portico_cloud::calls", "{line}"),
        }
        lock(&self.log).record(call);
    }

    /// Waits until the data plane serves the latest revision, for a while.
    async fn settled(&self) {
        let wanted = *self.wanted.borrow();
        let mut applied = self.applied.subscribe();
        let waited = tokio::time::timeout(APPLY_PATIENCE, applied.wait_for(|revision| *revision >= wanted)).await;
        if waited.is_err() {
            tracing::warn!(target: "portico_cloud", "the data plane did not take revision {wanted} in time");
        }
    }

    /// Keeps the data plane in step until the token is cancelled: applies the latest revision, and lets time do what is due.
    /// The data plane ends with it.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        self.step(&stop).await;
        self.plane.shutdown().await;
    }

    async fn step(&self, stop: &CancellationToken) {
        let mut wanted = self.wanted.subscribe();
        let mut projector = Projector::default();
        loop {
            let now = self.clock.now();
            let pause = {
                let mut state = lock(&self.state);
                if state.advance(now) {
                    self.wanted.send_replace(state.revision);
                }
                state.next_event().map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default())
            };
            let revision = *wanted.borrow_and_update();
            if stop.is_cancelled() {
                return;
            }
            if revision > *self.applied.borrow() {
                let propagation = self.times().propagation;
                // To sleep for no time takes until the timer's next tick, a millisecond of every call that changes something.
                if !propagation.is_zero() {
                    tokio::select! {
                        () = tokio::time::sleep(propagation) => {}
                        () = stop.cancelled() => return,
                    }
                }
                let changes = projector.changes(&mut lock(&self.state));
                let revision = changes.revision;
                self.plane.change(changes).await;
                self.applied.send_replace(revision);
                continue;
            }
            // Never busy: an event that is due now is taken a millisecond later at the earliest.
            let pause = pause.unwrap_or(Duration::from_secs(3600)).max(Duration::from_millis(1));
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Keeps the state file in step until the token is cancelled: a change is in it within [`SAVE_PAUSE`] and the time that writing takes.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut wanted = self.wanted.subscribe();
        while self.state_file.is_some() {
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(SAVE_PAUSE) => {}
                () = stop.cancelled() => return,
            }
            self.save().await;
        }
    }

    /// Writes the state file, unless it is up to date or there is none.
    pub async fn save(self: &Arc<Self>) {
        let Some(file) = self.state_file.clone() else { return };
        let mut saved = self.saved.lock().await;
        let kept = lock(&self.state).kept();
        let revision = kept.revision;
        if *saved == revision {
            return;
        }
        let control = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || file.write(&control.config, &kept)).await;
        match written {
            Ok(Ok(())) => *saved = revision,
            Ok(Err(error)) => tracing::error!(target: "portico_cloud", "{error}"),
            Err(error) => tracing::error!(target: "portico_cloud", "the state file was not written: {error}"),
        }
    }

    /// A new request id.
    pub fn request_id(&self) -> String {
        lock(&self.requests).request()
    }

    /// Looks at the state at this moment.
    pub fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        let mut state = lock(&self.state);
        if state.advance(self.clock.now()) {
            self.wanted.send_replace(state.revision);
        }
        look(&state)
    }

    /// Does something to the state that no call of the API does, and brings the data plane in step.
    pub fn act<T>(&self, act: impl FnOnce(&mut State) -> Answer<T>) -> Answer<T> {
        let mut state = lock(&self.state);
        state.advance(self.clock.now());
        let done = act(&mut state)?;
        state.revision += 1;
        self.wanted.send_replace(state.revision);
        Ok(done)
    }

    /// Looks at, or changes, the log.
    pub fn with_log<T>(&self, use_it: impl FnOnce(&mut CallLog) -> T) -> T {
        use_it(&mut lock(&self.log))
    }

    /// Looks at, or changes, the faults.
    pub fn with_faults<T>(&self, use_it: impl FnOnce(&mut Faults) -> T) -> T {
        use_it(&mut lock(&self.faults))
    }

    /// The data plane.
    pub fn plane(&self) -> &DataPlane {
        &self.plane
    }

    /// How long things take now.
    fn times(&self) -> Times {
        lock(&self.state).config.times
    }

    /// Changes settings while the cloud runs, all of them or none.
    ///
    /// # Errors
    /// A sentence that says which setting cannot be so.
    pub fn change(&self, settings: &Settings) -> Result<(), String> {
        let mut state = lock(&self.state);
        let mut config = state.config.clone();
        settings.apply(&mut config)?;
        if config.times.health_check_scale != state.config.times.health_check_scale {
            return Err("times.health_check_scale can be set at the start only".into());
        }
        if config.rates != state.config.rates {
            *lock(&self.throttle) = Throttle::new(config.rates, self.clock.now());
        }
        state.config = config;
        // Whoever shortens the interval does not want to wait for the end of the old one.
        self.plane.logs().call_for_delivery();
        Ok(())
    }

    /// Begins anew with a fresh account: no load balancers, no faults, an empty log.
    pub async fn reset(&self) -> Result<(), ApiError> {
        {
            let mut state = lock(&self.state);
            let mut fresh = State::new(self.config.clone(), self.clock.now(), self.plane.health())
                .map_err(|error| ApiError::with_status("InternalFailure", error.to_string(), 500))?;
            fresh.revision = state.revision + 1;
            fresh.ec2.reach.all = true;
            // Revisions of certificates must not come again: the projector would take new ones for old ones.
            fresh.acm.changes = state.acm.changes + 1;
            drop(self.plane.logs().take());
            self.wanted.send_replace(fresh.revision);
            *state = fresh;
        }
        *lock(&self.throttle) = Throttle::new(self.config.rates, self.clock.now());
        self.with_log(CallLog::reset);
        self.with_faults(Faults::clear);
        self.settled().await;
        Ok(())
    }
}
