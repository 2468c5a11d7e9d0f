//! Progress of the demo on the terminal.

use portico_providers::{Action, ProviderError};

use crate::output::{CREATE, DELETE, DIM, UPDATE, line, styled};
use crate::witness::{Step, Witness};

/// Prints each change as it is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProgressWitness;

impl Witness for ProgressWitness {
    fn changed(&self, step: &Step, error: Option<&ProviderError>) {
        let (style, sign) = match step.action {
            Action::Create => (CREATE, '+'),
            Action::Update => (UPDATE, '~'),
            Action::Delete => (DELETE, '-'),
        };
        let unit = styled(DIM, &step.unit);
        // A closed pipe ends the process where it prints; nothing is lost by not hearing of it here.
        let _ = match error {
            None => line(format_args!("  {} {unit}  {}", styled(style, sign), step.operation)),
            Some(error) => line(format_args!("  {} {unit}  {}: {error}", styled(DELETE, '!'), step.operation)),
        };
    }
}
