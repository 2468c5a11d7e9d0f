//! One HTTP request over a connection of its own: for probes of pods and questions to the embedded cloud.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends the request; returns the answer's status and, where `body_limit` is not zero, its body of at most so many bytes.
/// Nothing here bounds the time: the caller does.
pub async fn exchange<S>(stream: S, request: http::Request<Empty<Bytes>>, body_limit: usize) -> Result<(http::StatusCode, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        if body_limit == 0 {
            return Ok((status, Bytes::new()));
        }
        let body = Limited::new(response.into_body(), body_limit).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    // The connection is driven beside the exchange. Where it ends first, the answer is still to be taken, or says why there is none.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        answer = answer => answer,
        never = drive => match never {},
    }
}
