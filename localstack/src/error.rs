//! Errors: what a caller of the AWS API gets, and what the owner of a [`crate::Cloud`] gets.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// Why a cloud could not start.
#[derive(Debug, Error)]
pub enum CloudError {
    /// The endpoint's address could not be bound.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The wanted address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The state file cannot be read, is none of this program's, or cannot be written.
    #[error("the state file {path}: {problem}")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what helps.
        problem: String,
    },
    /// The configuration contradicts itself.
    #[error("invalid configuration: {0}")]
    Config(String),
}

/// How the message about a parameter that nobody knows begins.
const UNKNOWN_PARAMETER: &str = "Unknown parameter: ";

/// An error answer of the AWS API: a code as it stands on the wire, a message and an HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The wire code, such as `PriorityInUse`.
    pub code: Cow<'static, str>,
    /// The message for people.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

impl ApiError {
    /// A client error (HTTP 400) with a code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into(), status: 400 }
    }

    /// An error with a code and HTTP status chosen at run time.
    pub fn with_status(code: impl Into<Cow<'static, str>>, message: impl Into<String>, status: u16) -> Self {
        Self { code: code.into(), message: message.into(), status }
    }

    /// ELBv2's answer to most wrong parameters: `ValidationError`.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", message)
    }

    /// EC2's answer to a wrong parameter value: `InvalidParameterValue`.
    pub fn parameter_value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    /// ELBv2's answer to a parameter that nobody knows, in the words that all other services are given it in by [`Self::respelled`].
    pub fn unknown_parameter(path: &str) -> Self {
        Self::validation(format!("{UNKNOWN_PARAMETER}'{path}'"))
    }

    /// A wrong parameter as another service answers it: `unknown` is given the path of one that nobody knows, in quotes, `wrong` the message about any other. Errors of
    /// other kinds stay as they are.
    pub fn respelled(self, unknown: impl FnOnce(&str) -> Self, wrong: impl FnOnce(String) -> Self) -> Self {
        match self.code.as_ref() {
            "ValidationError" => match self.message.strip_prefix(UNKNOWN_PARAMETER) {
                Some(path) => unknown(path),
                None => wrong(self.message),
            },
            _ => self,
        }
    }

    /// Whether the server and not the caller is to blame.
    pub fn is_server_fault(&self) -> bool {
        self.status >= 500
    }
}

/// What an operation answers.
pub type Answer<T> = Result<T, ApiError>;
