//! From a request to an operation of Route 53 with its parameters.

use crate::error::{Answer, ApiError};
use crate::wire::rest::{Request, decoded};
use crate::wire::{Input, xml_input};

/// Elements that are lists.
const LISTS: &[&str] = &["Change", "ResourceRecord"];
/// Query parameters that are members.
const PARAMETERS: &[(&str, &str)] = &[
    ("marker", "Marker"),
    ("maxitems", "MaxItems"),
    ("delegationsetid", "DelegationSetId"),
    ("hostedzonetype", "HostedZoneType"),
    ("dnsname", "DNSName"),
    ("hostedzoneid", "HostedZoneId"),
    ("name", "StartRecordName"),
    ("type", "StartRecordType"),
    ("identifier", "StartRecordIdentifier"),
];

/// The operation that a request asks for.
pub fn route(request: &Request<'_>) -> Answer<(&'static str, Input)> {
    let path = request.path.trim_start_matches('/').trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let unknown = || {
        let message = format!("{} {} is not served by this cloud", request.method, request.path);
        ApiError::with_status("UnknownOperationException", message, 404)
    };
    let (operation, id, root) = match (request.method.as_str(), parts.as_slice()) {
        ("POST", ["2013-04-01", "hostedzone"]) => ("CreateHostedZone", None, Some("CreateHostedZoneRequest")),
        ("GET", ["2013-04-01", "hostedzone"]) => ("ListHostedZones", None, None),
        ("GET", ["2013-04-01", "hostedzonesbyname"]) => ("ListHostedZonesByName", None, None),
        ("GET", ["2013-04-01", "hostedzone", id]) => ("GetHostedZone", Some(id), None),
        ("DELETE", ["2013-04-01", "hostedzone", id]) => ("DeleteHostedZone", Some(id), None),
        ("POST", ["2013-04-01", "hostedzone", id, "rrset"]) => {
            ("ChangeResourceRecordSets", Some(id), Some("ChangeResourceRecordSetsRequest"))
        }
        ("GET", ["2013-04-01", "hostedzone", id, "rrset"]) => ("ListResourceRecordSets", Some(id), None),
        ("GET", ["2013-04-01", "change", id]) => ("GetChange", Some(id), None),
        _ => return Err(unknown()),
    };
    let mut input = match root {
        Some(root) => xml_input::parse(root, &request.body, LISTS).map_err(|error| ApiError::new("InvalidInput", error.message))?,
        None => Input::new(),
    };
    if let Some(id) = id {
        input.put("Id", Input::leaf("Id", &decoded(id)));
    }
    for (name, value) in &request.query {
        if let Some((_, member)) = PARAMETERS.iter().find(|(known, _)| known == name) {
            input.put(member, Input::leaf(member, value));
        }
    }
    Ok((operation, input))
}
