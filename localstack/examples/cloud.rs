//! Runs a cloud until Ctrl-C: `cargo run -p portico-cloud --example cloud -- 127.0.0.1:4566`, with settings as JSON behind the address if need be.

use portico_cloud::{Cloud, CloudConfig, Settings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:4566".into()).parse()?;
    let mut config = CloudConfig { listen, ..CloudConfig::default() };
    if let Some(settings) = arguments.next() {
        serde_json::from_str::<Settings>(&settings)?.apply(&mut config)?;
    }
    let cloud = Cloud::start(config).await?;
    println!("export AWS_ENDPOINT_URL={} AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test", cloud.endpoint());
    tokio::signal::ctrl_c().await?;
    cloud.shutdown().await;
    Ok(())
}
