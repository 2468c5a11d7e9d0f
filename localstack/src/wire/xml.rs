//! Writing XML answers: the query protocol's and EC2's envelopes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quick_xml::escape::escape;

use super::output::timestamp;
use super::{Output, Record};
use crate::error::ApiError;

/// How a service writes lists and envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `<XResponse><XResult>…</XResult><ResponseMetadata>…`, lists of `<member>`.
    Query {
        /// The answer's XML namespace.
        namespace: &'static str,
    },
    /// `<XResponse><requestId/>…`, lists of `<item>`.
    Ec2,
}

const EC2_NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// The answer of a call that succeeded.
pub fn answer(dialect: Dialect, operation: &str, request_id: &str, record: &Record) -> String {
    let mut out = String::from(DECLARATION);
    match dialect {
        Dialect::Query { namespace } => {
            out.push_str(&format!("<{operation}Response xmlns=\"{namespace}\"><{operation}Result>"));
            members(&mut out, record, "member");
            out.push_str(&format!(
                "</{operation}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
            ));
        }
        Dialect::Ec2 => {
            out.push_str(&format!("<{operation}Response xmlns=\"{EC2_NAMESPACE}\"><requestId>{request_id}</requestId>"));
            members(&mut out, record, "item");
            out.push_str(&format!("</{operation}Response>"));
        }
    }
    out
}

/// A document of a REST service: lists are flattened, each element named after its list.
pub fn document(root: &str, namespace: &str, record: &Record) -> String {
    let mut out = format!("{DECLARATION}<{root} xmlns=\"{namespace}\">");
    flat_members(&mut out, record);
    out.push_str(&format!("</{root}>"));
    out
}

fn flat_members(out: &mut String, record: &Record) {
    for (name, value) in &record.members {
        match value {
            Output::List(items) => items.iter().for_each(|value| flat_element(out, name, value)),
            value => flat_element(out, name, value),
        }
    }
}

fn flat_element(out: &mut String, name: &str, value: &Output) {
    match value {
        Output::Record(record) => {
            open(out, name);
            flat_members(out, record);
            close(out, name);
        }
        value => element(out, name, value, name),
    }
}

// Answers have thousands of elements: nothing is put together apart and then copied.

fn open(out: &mut String, name: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
}

fn close(out: &mut String, name: &str) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

fn empty(out: &mut String, name: &str) {
    out.push('<');
    out.push_str(name);
    out.push_str("/>");
}

/// The answer of a call that failed.
pub fn error(dialect: Dialect, request_id: &str, error: &ApiError) -> String {
    let (code, message) = (escape(error.code.as_ref()), escape(error.message.as_str()));
    match dialect {
        Dialect::Query { namespace } => {
            let kind = if error.is_server_fault() { "Receiver" } else { "Sender" };
            format!(
                "{DECLARATION}<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{kind}</Type><Code>{code}</Code>\
                 <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
            )
        }
        Dialect::Ec2 => format!(
            "{DECLARATION}<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
             <RequestID>{request_id}</RequestID></Response>"
        ),
    }
}

fn members(out: &mut String, record: &Record, item: &str) {
    for (name, value) in &record.members {
        element(out, name, value, item);
    }
}

fn element(out: &mut String, name: &str, value: &Output, item: &str) {
    match value {
        Output::Text(text) if text.is_empty() => empty(out, name),
        Output::List(items) if items.is_empty() => empty(out, name),
        value => {
            open(out, name);
            match value {
                Output::Text(text) => out.push_str(&escape(text.as_str())),
                Output::Number(number) => out.push_str(&number.to_string()),
                Output::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
                Output::Blob(bytes) => out.push_str(&STANDARD.encode(bytes)),
                Output::Moment(at) => out.push_str(&timestamp(*at)),
                Output::List(items) => items.iter().for_each(|value| element(out, item, value, item)),
                Output::Record(record) => members(out, record, item),
            }
            close(out, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_dialects_name_list_elements_and_envelopes_differently() {
        let record = Record::new().list("Names", ["a<b"]).with("Count", 2_u16).with("None", Output::List(vec![]));
        let query = answer(Dialect::Query { namespace: "urn:x" }, "Do", "id", &record);
        assert!(query.ends_with(
            "<DoResponse xmlns=\"urn:x\"><DoResult><Names><member>a&lt;b</member></Names><Count>2</Count><None/></DoResult>\
             <ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DoResponse>"
        ));
        let ec2 = answer(Dialect::Ec2, "Do", "id", &record);
        assert!(ec2.contains("<requestId>id</requestId><Names><item>a&lt;b</item></Names>"));
    }

    #[test]
    fn errors_tell_the_sender_from_the_receiver() {
        let sender = error(Dialect::Query { namespace: "urn:x" }, "id", &ApiError::validation("no 'x' & 'y'"));
        assert!(sender.contains("<Type>Sender</Type><Code>ValidationError</Code>"));
        let receiver = error(Dialect::Query { namespace: "urn:x" }, "id", &ApiError::with_status("InternalFailure", "", 500));
        assert!(receiver.contains("<Type>Receiver</Type>"));
        assert!(error(Dialect::Ec2, "id", &ApiError::new("X", "y")).contains("<RequestID>id</RequestID>"));
    }
}
