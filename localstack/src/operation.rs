//! What an operation is: whether it changes anything, and the function that does it.

use crate::error::Answer;
use crate::state::State;
use crate::wire::{Input, Record};

/// Whether an operation reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Changes nothing.
    Read,
    /// Changes the state if it succeeds.
    Write,
}

/// The function that carries an operation out. It changes nothing if it fails.
pub type Run = fn(&mut State, &Input) -> Answer<Record>;

/// An operation of a service.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Whether it reads or writes.
    pub kind: Kind,
    /// What it does.
    pub run: Run,
}

impl Operation {
    /// An operation.
    pub fn new(kind: Kind, run: Run) -> Self {
        Self { kind, run }
    }
}
