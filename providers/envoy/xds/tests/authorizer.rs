//! A service that gives permission, by Envoy's protocol over gRPC (`envoy.service.auth.v3.Authorization`).

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
/// `google.rpc.Code.PERMISSION_DENIED`.
const DENIED: i32 = 7;
/// `HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD`.
const OVERWRITE: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<AttributeContext>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AttributeContext {
    #[prost(message, optional, tag = "4")]
    request: Option<AttributeRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AttributeRequest {
    #[prost(message, optional, tag = "2")]
    http: Option<Asked>,
}

/// `AttributeContext.HttpRequest`: the request that permission is asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Asked {
    #[prost(map = "string, string", tag = "3")]
    pub headers: HashMap<String, String>,
    #[prost(string, tag = "4")]
    pub path: String,
    #[prost(string, tag = "11")]
    pub body: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<RpcStatus>,
    #[prost(oneof = "Answer", tags = "2, 3")]
    answer: Option<Answer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Answer {
    #[prost(message, tag = "2")]
    Denied(Denied),
    #[prost(message, tag = "3")]
    Granted(Granted),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<HttpStatus>,
    #[prost(string, tag = "3")]
    body: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HttpStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Granted {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderValueOption>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    header: Option<HeaderValue>,
    #[prost(int32, tag = "3")]
    append_action: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HeaderValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// The service. Paths with `/deny` in them get 401; all others are let pass with the headers given, and with `x-by: NAME` after whatever `x-by` says already.
#[derive(Clone)]
pub struct Authorizer {
    pub at: SocketAddr,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    name: &'static str,
    sets: &'static [(&'static str, &'static str)],
}

impl Authorizer {
    pub async fn start(name: &'static str, sets: &'static [(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authorizer = Self { at: listener.local_addr().unwrap(), asked: Arc::default(), name, sets };
        let service = authorizer.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                let answer = service_fn(move |request: http::Request<Incoming>| {
                    let service = service.clone();
                    async move {
                        assert_eq!(request.uri().path(), CHECK);
                        Ok::<_, Infallible>(Grpc::new(ProstCodec::default()).unary(service, request).await)
                    }
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(socket), answer));
            }
        });
        authorizer
    }

    /// What was asked about the last request whose path contains a text.
    pub fn last(&self, text: &str) -> Option<Asked> {
        self.asked.lock().unwrap().iter().rev().find(|asked| asked.path.contains(text)).cloned()
    }

    fn answer(&self, asked: &Asked) -> CheckResponse {
        if asked.path.contains("/deny") {
            let denied = Denied { status: Some(HttpStatus { code: 401 }), body: format!("denied by {}", self.name) };
            return CheckResponse { status: Some(RpcStatus { code: DENIED }), answer: Some(Answer::Denied(denied)) };
        }
        let before = asked.headers.get("x-by").map(|by| format!("{by} ")).unwrap_or_default();
        let by = ("x-by".to_owned(), format!("{before}{}", self.name));
        let all = self.sets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain([by]);
        let headers = all.map(|(key, value)| HeaderValueOption { header: Some(HeaderValue { key, value }), append_action: OVERWRITE });
        CheckResponse { status: Some(RpcStatus { code: 0 }), answer: Some(Answer::Granted(Granted { headers: headers.collect() })) }
    }
}

impl UnaryService<CheckRequest> for Authorizer {
    type Response = CheckResponse;
    type Future = BoxFuture<Response<CheckResponse>, Status>;

    fn call(&mut self, request: Request<CheckRequest>) -> Self::Future {
        let asked = request.into_inner().attributes.and_then(|it| it.request).and_then(|it| it.http).unwrap_or_default();
        self.asked.lock().unwrap().push(asked.clone());
        let answer = self.answer(&asked);
        Box::pin(async move { Ok(Response::new(answer)) })
    }
}
