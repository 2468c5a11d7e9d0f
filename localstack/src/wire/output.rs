//! The answer of a call as a tree, whatever protocol will carry it.

use std::borrow::Cow;

use hyper::body::Bytes;
use jiff::Timestamp;

/// A value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A text; also numbers that AWS models as strings.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A boolean.
    Flag(bool),
    /// Bytes: base64 in XML and JSON, a body as it is in REST.
    Blob(Bytes),
    /// A moment: ISO 8601 in XML, seconds since the epoch in JSON.
    Moment(Timestamp),
    /// A list; the protocol chooses the elements' name (`member`, `item`).
    List(Vec<Output>),
    /// Named members in order.
    Record(Record),
}

/// Named members of an answer, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The members.
    pub members: Vec<(Cow<'static, str>, Output)>,
}

impl Record {
    /// A record without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Output>) -> Self {
        self.members.push((name.into(), value.into()));
        self
    }

    /// Adds a member if there is a value.
    pub fn maybe(self, name: &'static str, value: Option<impl Into<Output>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a list.
    pub fn list<T: Into<Output>>(self, name: &'static str, items: impl IntoIterator<Item = T>) -> Self {
        self.with(name, Output::List(items.into_iter().map(Into::into).collect()))
    }

    /// The member with this name.
    pub fn member(&self, name: &str) -> Option<&Output> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Leaves members out, at any depth of records.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.members.retain(|(name, _)| !names.contains(&name.as_ref()));
        for (_, value) in &mut self.members {
            if let Output::Record(record) = value {
                *record = std::mem::take(record).without(names);
            }
        }
        self
    }
}

/// A moment as AWS writes it: `2026-08-17T10:11:12.345000Z`.
pub fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

impl From<Record> for Output {
    fn from(record: Record) -> Self {
        Self::Record(record)
    }
}

impl From<String> for Output {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Output {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&str> for Output {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<bool> for Output {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

macro_rules! numbers {
    ($($kind:ty),*) => { $(impl From<$kind> for Output {
        fn from(number: $kind) -> Self {
            Self::Number(number.into())
        }
    })* };
}
numbers!(u8, u16, u32, i32, i64);

impl From<Timestamp> for Output {
    fn from(at: Timestamp) -> Self {
        Self::Moment(at)
    }
}

impl From<Bytes> for Output {
    fn from(bytes: Bytes) -> Self {
        Self::Blob(bytes)
    }
}

impl From<Vec<Output>> for Output {
    fn from(items: Vec<Output>) -> Self {
        Self::List(items)
    }
}
