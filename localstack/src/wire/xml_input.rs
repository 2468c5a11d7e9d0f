//! Reading XML bodies, as REST services take them.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use super::Input;
use crate::error::{Answer, ApiError};

/// How deep elements may lie in one another: far deeper than any body of AWS.
const DEPTH: usize = 20;

/// One element that is being read.
struct Open {
    name: String,
    text: String,
    children: Vec<Input>,
    names: Vec<String>,
}

impl Open {
    fn new(name: &str) -> Self {
        Self { name: name.into(), text: String::new(), children: Vec::new(), names: Vec::new() }
    }

    /// The element as parameters. Elements that `lists` names (bare, or as `parent/name`) become numbered ones of a list with their name.
    fn close(self, lists: &[&str]) -> Input {
        if self.children.is_empty() {
            return Input::leaf(&self.name, self.text.trim());
        }
        let mut node = Input::named(&self.name);
        let mut sequences: Vec<(String, Vec<Input>)> = Vec::new();
        for (name, child) in self.names.into_iter().zip(self.children) {
            let qualified = format!("{}/{name}", self.name);
            if !lists.iter().any(|list| *list == name || *list == qualified) {
                node.put(&name, child);
                continue;
            }
            match sequences.iter_mut().find(|(known, _)| *known == name) {
                Some((_, items)) => items.push(child),
                None => sequences.push((name, vec![child])),
            }
        }
        for (name, items) in sequences {
            node.put(&name, Input::sequence(&name, items));
        }
        node
    }
}

/// Decodes a body whose root element has this name. Attributes and namespaces do not matter.
///
/// # Errors
/// `MalformedXML`, if it is no XML or has another root.
pub fn parse(root: &str, body: &[u8], lists: &[&str]) -> Answer<Input> {
    let malformed = || {
        let message = "The XML you provided was not well-formed or did not validate against our published schema";
        ApiError::new("MalformedXML", message)
    };
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    loop {
        let event = reader.read_event().map_err(|_| malformed())?;
        let closed = match event {
            Event::Start(start) => {
                open.push(Open::new(start.local_name().as_ref()));
                if open.len() > DEPTH {
                    return Err(malformed());
                }
                None
            }
            Event::Empty(start) => Some(Open::new(start.local_name().as_ref())),
            Event::End(_) => Some(open.pop().ok_or_else(malformed)?),
            Event::Text(more) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&more);
                }
                None
            }
            Event::CData(more) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&more);
                }
                None
            }
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref() {
                    Ok(Some(letter)) => letter.to_string(),
                    _ => resolve_predefined_entity(&reference).ok_or_else(malformed)?.to_string(),
                };
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&resolved);
                }
                None
            }
            // Entities of a document's own would let a small body become a great one.
            Event::DocType(_) | Event::Eof => return Err(malformed()),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => None,
        };
        let Some(closed) = closed else { continue };
        let name = closed.name.clone();
        let node = closed.close(lists);
        match open.last_mut() {
            Some(parent) => {
                parent.children.push(node);
                parent.names.push(name);
            }
            None if name == root => return Ok(node),
            None => return Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn elements_become_parameters() {
        let body = br#"<?xml version="1.0"?><Delete xmlns="urn:x"><Object><Key>a &amp; b&#33;</Key></Object><Object><Key>c</Key></Object><Quiet/></Delete>"#;
        let input = parse("Delete", body, &["Object"]).unwrap();
        let keys: Vec<&str> = input.items("Object").into_iter().filter_map(|object| object.text("Key")).collect();
        assert_eq!(keys, ["a & b!", "c"]);
        assert_eq!(input.text("Quiet"), Some(""));
        assert!(input.done().is_ok());
    }

    #[test]
    fn what_is_no_xml_is_refused() {
        for body in ["", "<Delete>", "<Other/>", "x", "<!DOCTYPE d [<!ENTITY a 'b'>]><Delete>&a;</Delete>", "<Delete>&a;</Delete>"] {
            assert_eq!(parse("Delete", body.as_bytes(), &[]).unwrap_err().code, "MalformedXML", "{body}");
        }
        let deep = "<Delete>".repeat(1000);
        assert!(parse("Delete", deep.as_bytes(), &[]).is_err());
    }
}
