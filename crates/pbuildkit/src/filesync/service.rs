//! The gRPC service around the sender.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;
use percent_encoding::percent_decode_str;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::filesync::sender;
use crate::filesync::wire::Packet;
use crate::filesync::{FileSync, Shared};

/// What the engine asks for, from the call's metadata (BuildKit `session/filesync`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// The local's name.
    pub(super) local: String,
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
    /// Paths whose links are to be followed.
    pub(super) follow: Vec<String>,
}

impl Query {
    pub(super) fn of_metadata(metadata: &MetadataMap) -> Self {
        let values = |key: &str| -> Vec<String> {
            let encoded = metadata.get(format!("{key}-encoded")).is_some_and(|value| value.as_bytes() == b"1");
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let all = metadata.get_all(key).iter().map(|value| text(value.as_bytes()));
            if encoded { all.map(|value| query_decoded(&value)).collect() } else { all.collect() }
        };
        Self {
            local: values("dir-name").into_iter().next().unwrap_or_default(),
            include: values("include-patterns"),
            exclude: values("exclude-patterns"),
            follow: values("followpaths"),
        }
    }
}

/// Go's `url.QueryUnescape`: `+` is a blank.
fn query_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

impl NamedService for FileSync {
    const NAME: &'static str = "moby.filesync.v1.FileSync";
}

struct DiffCopy(Arc<Shared>);

impl StreamingService<Packet> for DiffCopy {
    type Response = Packet;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Packet>>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let query = Query::of_metadata(request.metadata());
            let packets = sender::send(&shared, query, request.into_inner()).await?;
            Ok(Response::new(Box::pin(packets) as Self::ResponseStream))
        })
    }
}

impl tower::Service<http::Request<Body>> for FileSync {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            if request.uri().path() != "/moby.filesync.v1.FileSync/DiffCopy" {
                return Ok(Status::unimplemented("only DiffCopy is served").into_http());
            }
            let codec = ProstCodec::<Packet, Packet>::default();
            Ok(Grpc::new(codec).streaming(DiffCopy(shared), request).await)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_patterns_and_decodes_only_those_that_say_so() {
        let mut metadata = MetadataMap::new();
        let put = |metadata: &mut MetadataMap, key: &'static str, value: &str| {
            metadata.append(key, value.parse().unwrap());
        };
        put(&mut metadata, "dir-name", "context");
        put(&mut metadata, "include-patterns", "a%20b");
        put(&mut metadata, "exclude-patterns", "caf%C3%A9+x");
        put(&mut metadata, "exclude-patterns", "%21keep");
        put(&mut metadata, "exclude-patterns-encoded", "1");
        let query = Query::of_metadata(&metadata);
        assert_eq!(query.local, "context");
        assert_eq!(query.include, ["a%20b"]);
        assert_eq!(query.exclude, ["café x", "!keep"]);
        assert!(query.follow.is_empty());
    }
}
