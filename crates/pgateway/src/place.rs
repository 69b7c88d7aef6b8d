//! An error that names a place in the Dockerfile, so that docker itself marks the lines.
//!
//! A gRPC error carries a `google.rpc.Status` whose details are JSON in `Any` values (BuildKit `util/grpcerrors`); the
//! detail named `errdefs.Source` holds a file and lines of it (BuildKit `solver/errdefs/source.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::google::protobuf::Any;
use bollard_buildkit_proto::google::rpc;
use pllb::SourceLines;
use prost::Message as _;
use serde_json::json;

/// Makes an error about these lines; `file` is the whole text of the file that they are in.
///
/// Its code is always *unknown*: clients print every other code before the message.
#[must_use]
pub fn error_at(message: &str, lines: &SourceLines, file: &[u8]) -> tonic::Status {
    let detail = json!({
        "info": { "filename": lines.file, "data": STANDARD.encode(file) },
        "ranges": [{ "start": { "line": lines.first }, "end": { "line": lines.last } }],
    });
    let source = Any {
        type_url: "github.com/moby/buildkit/errdefs.Source+json".to_owned(),
        value: detail.to_string().into_bytes(),
    };
    let code = tonic::Code::Unknown;
    let status = rpc::Status { code: code.into(), message: message.to_owned(), details: vec![source] };
    tonic::Status::with_details(code, message, status.encode_to_vec().into())
}
