//! A collector of spans, and others that only look like one. What the proxy sends is decoded by OTLP's own messages.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It takes what comes.
    Takes,
    /// It never answers.
    Silent,
    /// It refuses, with many words.
    Refuses,
    /// It announces an answer of 4 GiB, and sends it without end.
    Babbles,
}

/// A collector. It ends with this value.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    _runtime: Runtime,
}

/// What came so far.
#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    /// The credential of each batch.
    credentials: Vec<String>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        Self::start_as(Manner::Takes)
    }

    pub(crate) fn start_as(manner: Manner) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::default();
        runtime.spawn(accept(listener, Arc::clone(&taken), manner));
        Self { address, taken, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans of a trace that came so far.
    pub(crate) fn trace(&self, id: &str) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        taken.spans.iter().filter(|span| hex(&span.trace_id) == id).cloned().collect()
    }

    /// All spans that came so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.taken.lock().unwrap().spans.clone()
    }

    /// The credential of each batch that came so far.
    pub(crate) fn credentials(&self) -> Vec<String> {
        self.taken.lock().unwrap().credentials.clone()
    }
}

/// An attribute of a span, as text.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

async fn accept(listener: TcpListener, taken: Arc<Mutex<Taken>>, manner: Manner) {
    while let Ok((stream, _)) = listener.accept().await {
        let taken = Arc::clone(&taken);
        let service = service_fn(move |request| answer(request, Arc::clone(&taken), manner));
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

type Frames = stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

async fn answer(
    request: Request<Incoming>,
    taken: Arc<Mutex<Taken>>,
    manner: Manner,
) -> Result<Response<StreamBody<Frames>>, Infallible> {
    assert_eq!(request.uri().path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    let credential = request.headers().get("authorization").map(|field| field.to_str().unwrap().to_owned());
    let sent = request.into_body().collect().await.unwrap().to_bytes();
    let trailers = |status: &'static str, message: String| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().unwrap());
        trailers.insert("grpc-message", message.parse().unwrap());
        Ok(Frame::trailers(trailers))
    };
    let frames: Frames = match manner {
        Manner::Takes => {
            // A byte for the compression and four for the length stand before a message.
            let request = ExportTraceServiceRequest::decode(&sent[5..]).unwrap();
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            let mut taken = taken.lock().unwrap();
            taken.spans.extend(scopes.flat_map(|scope| scope.spans));
            taken.credentials.extend(credential);
            let empty = Ok(Frame::data(Bytes::from_static(&[0; 5])));
            Box::pin(stream::iter([empty, trailers("0", String::new())]))
        }
        Manner::Silent => pending().await,
        Manner::Refuses => Box::pin(stream::iter([trailers("14", "no%0Aroom ".repeat(900))])),
        Manner::Babbles => {
            let head = Ok(Frame::data(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff])));
            let more = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b'x'; 1 << 14]))));
            Box::pin(stream::StreamExt::chain(stream::iter([head]), more))
        }
    };
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(response.body(StreamBody::new(frames)).unwrap())
}
