//! The health of a running container: its probes and lifecycle hooks.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Probe};

use super::container::ContainerTask;
use super::probes;

/// What looks after a running container's health.
pub struct Health<'a> {
    /// Whose health it is.
    pub task: &'a ContainerTask,
    /// The container as this run has it.
    pub container: &'a Container,
    /// Its process.
    pub pid: i32,
    /// Its environment.
    pub env: &'a [(String, String)],
    /// Folder for the output of commands.
    pub folder: &'a Path,
}

impl Health<'_> {
    fn pod_ip(&self) -> IpAddr {
        IpAddr::V4(self.task.folder.pod_ip)
    }

    async fn exec(&self, command: &[String]) -> Result<(), String> {
        let (exit, output) = self.task.sandbox.exec(self.pid, command, self.env, self.folder).await?;
        if exit.code == 0 { Ok(()) } else { Err(format!("command {command:?} exited with {}: {}", exit.code, output.trim())) }
    }

    async fn check(&self, probe: &Probe) -> Result<(), String> {
        if let Some(action) = &probe.http_get {
            probes::http_get(action, self.container, self.pod_ip()).await
        } else if let Some(action) = &probe.tcp_socket {
            let host = action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| self.pod_ip().to_string());
            probes::tcp(&host, probes::port(&action.port, self.container)?).await
        } else if let Some(action) = &probe.exec {
            self.exec(action.command.as_deref().unwrap_or_default()).await
        } else {
            Err("the lab's kubelet supports httpGet, tcpSocket and exec probes only".to_owned())
        }
    }

    /// Runs a lifecycle hook to its end.
    pub async fn hook(&self, handler: &LifecycleHandler) -> Result<(), String> {
        if let Some(sleep) = &handler.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or_default())).await;
            Ok(())
        } else if let Some(action) = &handler.http_get {
            probes::http_get(action, self.container, self.pod_ip()).await
        } else if let Some(action) = &handler.exec {
            self.exec(action.command.as_deref().unwrap_or_default()).await
        } else {
            Err("the lab's kubelet supports sleep, httpGet and exec hooks only".to_owned())
        }
    }

    fn unhealthy(&self, kind: &str, message: &str) {
        self.task.context.warn(&self.task.pod.borrow(), "Unhealthy", "Probing", &format!("{kind} probe failed: {message}"));
    }

    fn grace(&self, probe: Option<&Probe>) -> Duration {
        let pod = self.task.pod.borrow();
        let of_pod = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let seconds = probe.and_then(|probe| probe.termination_grace_period_seconds).or(of_pod).unwrap_or(30);
        // No grace at all would skip the signal that a program may still wish to see.
        Duration::from_secs(u64::try_from(seconds).unwrap_or(30).max(1))
    }

    /// Completes when the container must be restarted: the message, and the grace that it gets.
    pub async fn watch_for_restart(&self, post_start: Option<&LifecycleHandler>) -> (String, Duration) {
        let name = &self.container.name;
        if let Some(handler) = post_start
            && let Err(message) = self.hook(handler).await
        {
            self.task.context.warn(&self.task.pod.borrow(), "FailedPostStartHook", "Starting", &message);
            return (format!("FailedPostStartHook: container {name} will be restarted"), self.grace(None));
        }
        if let Some(probe) = &self.container.startup_probe {
            let mut failed = false;
            probes::observe(
                probe,
                false,
                || self.check(probe),
                |passed, message| {
                    if !passed {
                        self.unhealthy("Startup", message);
                    }
                    failed = !passed;
                    true
                },
            )
            .await;
            if failed {
                return (format!("Container {name} failed startup probe, will be restarted"), self.grace(Some(probe)));
            }
            let ready = self.container.readiness_probe.is_none() && self.task.is_long_lived(self.container);
            self.task.board.update_container(self.task.role, name, |status| {
                status.started = Some(true);
                status.ready = ready;
            });
        }
        let Some(probe) = &self.container.liveness_probe else { return std::future::pending().await };
        probes::observe(
            probe,
            true,
            || self.check(probe),
            |passed, message| {
                if !passed {
                    self.unhealthy("Liveness", message);
                }
                !passed
            },
        )
        .await;
        (format!("Container {name} failed liveness probe, will be restarted"), self.grace(Some(probe)))
    }

    /// Keeps the container's readiness, from its startup on; never completes.
    pub async fn watch_readiness(&self) -> std::convert::Infallible {
        let Some(probe) = &self.container.readiness_probe else { return std::future::pending().await };
        let mut changes = self.task.board.changes();
        while self.task.board.container(self.task.role, &self.container.name).is_some_and(|status| status.started != Some(true)) {
            let _ = changes.changed().await;
        }
        probes::observe(
            probe,
            false,
            || self.check(probe),
            |passed, message| {
                if !passed {
                    self.unhealthy("Readiness", message);
                }
                let before = self.task.board.container(self.task.role, &self.container.name);
                if before.is_some_and(|status| status.ready != passed) {
                    self.task.board.update_container(self.task.role, &self.container.name, |status| status.ready = passed);
                }
                false
            },
        )
        .await;
        std::future::pending().await
    }
}
