//! CBOR (RFC 8949), as Smithy's RPC v2 protocol uses it: `POST /service/NAME/operation/OPERATION` with a map as the body.

use serde_json::{Map, Number, Value};

use super::{Input, Output, Record, json};
use crate::error::{Answer, ApiError};

/// How deep values may lie in one another.
const DEPTH: usize = 64;

/// Decodes a body. An empty one is an empty map.
pub fn parse(body: &[u8]) -> Answer<Input> {
    if body.is_empty() {
        return Ok(Input::new());
    }
    let malformed = || ApiError::new("SerializationException", "The body is not CBOR");
    let mut reader = Reader(body);
    let value = reader.value(0).flatten().filter(|value| value.is_object() && reader.0.is_empty()).ok_or_else(malformed)?;
    Ok(json::input(&value))
}

/// Reads items one after the other. `None` stands for bytes that are no CBOR, or for kinds that no AWS service uses.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// The argument of an item: `None` inside for an indefinite length.
    fn argument(&mut self, information: u8) -> Option<Option<u64>> {
        let bytes = match information {
            0..=23 => return Some(Some(information.into())),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 => return Some(None),
            _ => return None,
        };
        Some(Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))))
    }

    /// The next value; `None` inside for the end of an indefinite one.
    fn value(&mut self, depth: usize) -> Option<Option<Value>> {
        let first = *self.take(1)?.first()?;
        let (major, information) = (first >> 5, first & 0x1f);
        if first == 0xff {
            return Some(None);
        }
        if depth > DEPTH {
            return None;
        }
        if major == 7 {
            return self.simple(information).map(Some);
        }
        let argument = self.argument(information)?;
        Some(Some(match (major, argument) {
            (0, Some(number)) => Value::from(number),
            (1, Some(number)) => Value::from(-1 - i64::try_from(number).ok()?),
            (3, length) => Value::String(self.text(length)?),
            (4, length) => Value::Array(self.items(length, depth)?),
            (5, length) => {
                let mut members = Map::new();
                let mut items = self.items(length.map(|pairs| pairs.saturating_mul(2)), depth)?.into_iter();
                while let Some(key) = items.next() {
                    members.insert(key.as_str()?.to_string(), items.next()?);
                }
                Value::Object(members)
            }
            // A tag: that of times, which are numbers like others here.
            (6, Some(_)) => self.value(depth + 1)??,
            _ => return None,
        }))
    }

    fn simple(&mut self, information: u8) -> Option<Value> {
        let float = |number: f64| Number::from_f64(number).map(Value::Number);
        match information {
            20 => Some(Value::Bool(false)),
            21 => Some(Value::Bool(true)),
            22 | 23 => Some(Value::Null),
            26 => float(f32::from_be_bytes(self.take(4)?.try_into().ok()?).into()),
            27 => float(f64::from_be_bytes(self.take(8)?.try_into().ok()?)),
            _ => None,
        }
    }

    fn text(&mut self, length: Option<u64>) -> Option<String> {
        match length {
            Some(length) => Some(std::str::from_utf8(self.take(usize::try_from(length).ok()?)?).ok()?.to_string()),
            None => {
                let mut text = String::new();
                while let Some(part) = self.value(DEPTH)? {
                    text.push_str(part.as_str()?);
                }
                Some(text)
            }
        }
    }

    fn items(&mut self, length: Option<u64>, depth: usize) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        // Bounded by the bytes that are left: each item takes one.
        while length.is_none_or(|length| (items.len() as u64) < length) {
            match self.value(depth + 1)? {
                Some(item) => items.push(item),
                None if length.is_none() => break,
                None => return None,
            }
        }
        Some(items)
    }
}

/// Encodes an answer.
pub fn answer(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    members(&mut out, record);
    out
}

/// Encodes an error.
pub fn error(error: &ApiError) -> Vec<u8> {
    answer(&Record::new().with("__type", error.code.to_string()).with("message", &error.message))
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | u8::try_from(argument).unwrap_or_default()),
        24..=0xff => out.extend([major | 24, u8::try_from(argument).unwrap_or_default()]),
        _ => {
            out.push(major | 27);
            out.extend(argument.to_be_bytes());
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    head(out, 3, text.len() as u64);
    out.extend(text.as_bytes());
}

fn float(out: &mut Vec<u8>, number: f64) {
    out.push(0xfb);
    out.extend(number.to_be_bytes());
}

fn members(out: &mut Vec<u8>, record: &Record) {
    head(out, 5, record.members.len() as u64);
    for (name, value) in &record.members {
        text(out, name);
        encode(out, value);
    }
}

fn encode(out: &mut Vec<u8>, value: &Output) {
    match value {
        Output::Text(value) => text(out, value),
        Output::Number(number) if *number < 0 => head(out, 1, number.unsigned_abs() - 1),
        Output::Number(number) => head(out, 0, number.unsigned_abs()),
        Output::Flag(flag) => out.push(if *flag { 0xf5 } else { 0xf4 }),
        Output::Blob(bytes) => {
            head(out, 2, bytes.len() as u64);
            out.extend(bytes);
        }
        Output::Moment(at) => {
            head(out, 6, 1);
            float(out, at.as_millisecond() as f64 / 1000.0);
        }
        Output::List(items) => {
            head(out, 4, items.len() as u64);
            items.iter().for_each(|item| encode(out, item));
        }
        Output::Record(record) => members(out, record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let record = Record::new().with("Name", "a".repeat(300)).with("Count", 24_i64).with("Less", -25_i64).with("Fine", true);
        let record = record.list("Items", ["a", "b"]).with("Inner", Record::new().with("Big", 70_000_i64));
        let input = parse(&answer(&record)).unwrap();
        assert_eq!(input.text("Name").map(str::len), Some(300));
        assert_eq!((input.text("Count"), input.text("Less"), input.text("Fine")), (Some("24"), Some("-25"), Some("true")));
        assert_eq!(input.strings("Items"), ["a", "b"]);
        assert_eq!(input.child("Inner").unwrap().text("Big"), Some("70000"));
    }

    #[test]
    fn indefinite_lengths_are_read_and_rubbish_is_not() {
        // {_ "a": [_ 1], "b": (_ "x", "y")}
        let bytes = [0xbf, 0x61, b'a', 0x9f, 0x01, 0xff, 0x61, b'b', 0x7f, 0x61, b'x', 0x61, b'y', 0xff, 0xff];
        let input = parse(&bytes).unwrap();
        assert_eq!((input.strings("a"), input.text("b")), (vec!["1".to_string()], Some("xy")));
        let deep = [0x81; 100_000];
        for bytes in [&[0xa1][..], &[0x01], &[0xbf, 0x61], &[0xa0, 0xa0], &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &deep] {
            assert!(parse(bytes).is_err());
        }
    }
}
