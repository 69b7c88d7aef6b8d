//! The gRPC service that starts the sender.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::filesync::query::Query;
use crate::filesync::sender;
use crate::filesync::wire::Packet;
use crate::filesync::{FileSync, Shared};

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
