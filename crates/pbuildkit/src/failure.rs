//! The reason why a build failed, as BuildKit explains it.
//!
//! A gRPC error carries a `google.rpc.Status`. Its details are JSON in `Any` values (BuildKit `util/grpcerrors`),
//! with types named `github.com/moby/buildkit/…+json`. The stack traces among them are ignored.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::google::rpc;
use prost::Message as _;
use serde::Deserialize;
use tonic::Code;

use crate::status::LineRange;

/// A failed build, as BuildKit describes it. The text may quote commands and so contain secrets; redact it before
/// people see it.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildFailure {
    /// The engine's message, without the prefix `rpc error: …`.
    pub message: String,
    /// The kind of the error.
    pub kind: FailureKind,
    /// The step that failed.
    pub vertex: Option<String>,
    /// The lines of files that the failure is about.
    pub sources: Vec<FailureSource>,
    /// The exit code of the step's command.
    pub exit_code: Option<u32>,
}

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The build was cancelled.
    Cancelled,
    /// An image, a file, a secret or something else does not exist.
    NotFound,
    /// The request or the Dockerfile is not valid.
    Invalid,
    /// The engine does not support the request.
    Unsupported,
    /// A registry or the engine denies access.
    Denied,
    /// Any other failure, most often a failed step.
    Failed,
}

/// Lines of a file that the build read.
#[derive(Clone, PartialEq, Eq)]
pub struct FailureSource {
    /// The file's name.
    pub file: String,
    /// The file's text.
    pub text: Vec<u8>,
    /// The lines.
    pub ranges: Vec<LineRange>,
}

impl fmt::Debug for BuildFailure {
    /// Leaves out BuildKit's text, which has not been searched for secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BuildFailure({:?}, exit code {:?})", self.kind, self.exit_code)
    }
}

impl fmt::Debug for FailureSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FailureSource({}, {:?})", self.file, self.ranges)
    }
}

impl fmt::Display for BuildFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for BuildFailure {}

#[derive(Deserialize)]
struct VertexDetail {
    #[serde(default)]
    digest: String,
}

#[derive(Deserialize)]
struct SourceDetail {
    #[serde(default)]
    info: Option<InfoDetail>,
    #[serde(default)]
    ranges: Vec<RangeDetail>,
}

#[derive(Deserialize)]
struct InfoDetail {
    #[serde(default)]
    filename: String,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct RangeDetail {
    #[serde(default)]
    start: PositionDetail,
    #[serde(default)]
    end: PositionDetail,
}

#[derive(Default, Deserialize)]
struct PositionDetail {
    #[serde(default)]
    line: usize,
}

#[derive(Deserialize)]
struct ExitDetail {
    #[serde(default, rename = "Code")]
    code: u32,
}

impl BuildFailure {
    /// Reads the failure from a gRPC status. Details of unknown types are left out.
    #[must_use]
    pub fn of_status(status: &tonic::Status) -> Self {
        let mut failure = Self {
            message: plain_message(status.message()).to_owned(),
            kind: kind(status.code()),
            vertex: None,
            sources: Vec::new(),
            exit_code: None,
        };
        let details = rpc::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
        for detail in &details {
            failure.add(&detail.type_url, &detail.value);
        }
        failure
    }

    /// Adds a detail of an error. Only the type's own name counts, because the path before it has changed over time,
    /// and the suffix `+json` may change too.
    fn add(&mut self, type_url: &str, value: &[u8]) {
        let name = type_url.rsplit('/').next().unwrap_or_default();
        let name = name.trim_end_matches("+json").rsplit('.').next().unwrap_or_default();
        match name {
            "Vertex" => {
                let detail = serde_json::from_slice::<VertexDetail>(value).ok();
                let digest = detail.map(|detail| detail.digest).filter(|digest| !digest.is_empty());
                self.vertex = self.vertex.take().or(digest);
            }
            "Source" => {
                if let Ok(SourceDetail { info: Some(info), ranges }) = serde_json::from_slice(value) {
                    let text = STANDARD.decode(&info.data).unwrap_or_default();
                    let range = |range: &RangeDetail| LineRange {
                        first: range.start.line,
                        last: range.end.line.max(range.start.line),
                    };
                    let ranges = ranges.iter().map(range).collect();
                    self.sources.push(FailureSource { file: info.filename, text, ranges });
                }
            }
            "ExitMessage" => {
                if let Ok(detail) = serde_json::from_slice::<ExitDetail>(value) {
                    self.exit_code.get_or_insert(detail.code);
                }
            }
            _ => {}
        }
    }
}

/// Removes the prefix `rpc error: code = Unknown desc = …`, which Go's gRPC adds to a message at every hop.
fn plain_message(message: &str) -> &str {
    let mut message = message;
    while let Some(rest) = message.strip_prefix("rpc error: code = ") {
        match rest.split_once(" desc = ") {
            Some((_, inner)) => message = inner,
            None => break,
        }
    }
    message
}

fn kind(code: Code) -> FailureKind {
    match code {
        Code::Cancelled => FailureKind::Cancelled,
        Code::NotFound => FailureKind::NotFound,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange | Code::AlreadyExists => {
            FailureKind::Invalid
        }
        Code::Unimplemented => FailureKind::Unsupported,
        Code::PermissionDenied | Code::Unauthenticated => FailureKind::Denied,
        Code::Ok
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => FailureKind::Failed,
    }
}

#[cfg(test)]
mod tests {
    use bollard_buildkit_proto::google::protobuf::Any;

    use super::*;

    fn status(message: &str, details: &[(&str, &str)]) -> tonic::Status {
        let details = details.iter().map(|(name, json)| Any {
            type_url: format!("github.com/moby/buildkit/{name}+json"),
            value: json.as_bytes().to_vec(),
        });
        let proto = rpc::Status { code: 2, message: message.into(), details: details.collect() };
        tonic::Status::with_details(Code::Unknown, message, proto.encode_to_vec().into())
    }

    #[test]
    fn reads_step_place_and_exit_code_and_hides_the_stack() {
        let text = STANDARD.encode("FROM busybox\nRUN false\n");
        let source = format!(
            r#"{{"info":{{"filename":"Dockerfile","data":"{text}"}},"ranges":[{{"start":{{"line":2}},"end":{{"line":2}}}}]}}"#
        );
        let failure = BuildFailure::of_status(&status(
            "rpc error: code = Unknown desc = process did not complete",
            &[
                ("stack.Stack", r#"{"frames":[{"Name":"main.main"}]}"#),
                ("errdefs.Vertex", r#"{"digest":"sha256:ab"}"#),
                ("errdefs.Source", &source),
                ("gatewayapi.ExitMessage", r#"{"Code":3}"#),
            ],
        ));
        assert_eq!(failure.message, "process did not complete");
        assert_eq!(failure.vertex.as_deref(), Some("sha256:ab"));
        assert_eq!(failure.exit_code, Some(3));
        assert_eq!(failure.sources[0].file, "Dockerfile");
        assert_eq!(failure.sources[0].text, b"FROM busybox\nRUN false\n");
        assert_eq!(failure.sources[0].ranges, [LineRange { first: 2, last: 2 }]);
    }

    #[test]
    fn details_that_are_not_understood_are_left_out() {
        let failure = BuildFailure::of_status(&status(
            "broken",
            &[
                ("errdefs.Source", "not json"),
                ("errdefs.Vertex", "3"),
                ("errdefs.Vertex", "{}"),
                ("unknown.Thing", "{}"),
            ],
        ));
        assert_eq!((failure.vertex, failure.sources.len(), failure.exit_code), (None, 0, None));
        let garbage = tonic::Status::with_details(Code::NotFound, "gone", vec![0xff; 9].into());
        assert_eq!(BuildFailure::of_status(&garbage).kind, FailureKind::NotFound);
    }

    #[test]
    fn debug_never_repeats_buildkit_s_words() {
        let failure = BuildFailure::of_status(&status("process curl -u me:canary-5d1e failed", &[]));
        assert!(!format!("{failure:?}").contains("canary-5d1e"));
    }

    /// An error that pgateway makes has its lines in the details that docker reads, too.
    #[test]
    fn reads_the_lines_of_an_error_that_pgateway_made() {
        let lines = pllb::SourceLines { file: "Dockerfile".to_owned(), first: 2, last: 3, text: Vec::new() };
        let failure = BuildFailure::of_status(&pgateway::error_at("a leak", &lines, b"FROM a\nRUN \\\n b\n"));
        assert_eq!((failure.message.as_str(), failure.kind), ("a leak", FailureKind::Failed));
        assert_eq!(failure.sources[0].text, b"FROM a\nRUN \\\n b\n");
        assert_eq!(failure.sources[0].ranges, [LineRange { first: 2, last: 3 }]);
    }
}
