//! The question to the embedded cloud: which addresses does a load balancer's name have?

use std::net::IpAddr;

use crate::client;

#[derive(serde::Deserialize)]
struct Answer {
    addresses: Vec<IpAddr>,
}

/// `GET {base}/_cloud/dns?name=NAME`: the addresses, or none where the cloud does not know the name (404).
pub async fn addresses(base: &str, name: &str) -> Result<Option<Vec<IpAddr>>, String> {
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("name", name).finish();
    let url = format!("{}/_cloud/dns?{query}", base.trim_end_matches('/'));
    let answer = client::get(&url).await.map_err(|error| format!("{error:#}"))?;
    match answer.status.as_u16() {
        200 => serde_json::from_slice::<Answer>(&answer.body).map(|answer| Some(answer.addresses)).map_err(|error| error.to_string()),
        404 => Ok(None),
        status => Err(format!("the cloud answered {status}")),
    }
}
