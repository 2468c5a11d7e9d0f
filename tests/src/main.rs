//! The lab: a real Kubernetes control plane, pods as processes and the embedded cloud, in one network namespace without a
//! way out. `cargo lab --help` lists its commands; DESIGN §7.3 says what it is for.
//!
//! ```text
//!  lab up ──▶ unshare ──▶ lab init (PID 1, reaps) ──▶ lab supervise ──▶ etcd, kube-apiserver, …, portico cloud, portico run
//!   │ holds the lifeline (a pipe); when it closes, however that came about, everything stops
//!  lab exec ─▶ nsenter ─▶ CMD
//! ```
//!
//! The lab links none of the project's crates: it starts `portico` as a process.

mod assets;
mod cache;
mod cli;
mod client;
mod cloud;
mod conformance;
mod controlplane;
mod daemon;
mod dns;
mod doctor;
mod e2e;
mod exec;
mod fleet;
mod init;
mod judge;
mod kubelet;
mod lab;
mod logs;
mod netns;
mod node;
mod objects;
mod operator;
mod peer;
mod program;
mod progress;
mod scale;
mod session;
mod supervisor;
mod test;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            progress::error(&error);
            ExitCode::FAILURE
        }
    }
}
