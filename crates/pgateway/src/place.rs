//! Makes an error that names a place in the Dockerfile, so that docker itself marks the lines.
//!
//! A gRPC error carries a `google.rpc.Status` whose details are JSON in `Any` values (BuildKit `util/grpcerrors`).
//! The detail `errdefs.Source` contains a file and line numbers in it (BuildKit `solver/errdefs/source.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::google::protobuf::Any;
use bollard_buildkit_proto::google::rpc;
use pllb::SourceLines;
use prost::Message as _;
use serde_json::json;

/// Makes an error about these lines. `file` is the whole text of the file that contains them.
///
/// The error's code is always *unknown*, because clients print every other code before the message.
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

/// Returns the same error with another message. The details have the new message, too, because BuildKit reads it from
/// there.
#[must_use]
pub fn reworded(status: &tonic::Status, words: &dyn Fn(&str) -> String) -> tonic::Status {
    let message = words(status.message());
    if message == status.message() && status.details().is_empty() {
        return status.clone();
    }
    let details = match rpc::Status::decode(status.details()) {
        Ok(told) if told.code != 0 => rpc::Status { message: words(&told.message), ..told }.encode_to_vec(),
        Ok(_) | Err(_) => status.details().to_vec(),
    };
    tonic::Status::with_details(status.code(), message, details.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_other_words_keeps_its_place() {
        let lines = SourceLines { file: "Dockerfile".to_owned(), first: 3, last: 4, text: Vec::new() };
        let error = error_at("old words", &lines, b"FROM a\n");
        let told = |status: &tonic::Status| rpc::Status::decode(status.details()).expect("details");
        let new = reworded(&error, &|text| text.replace("old", "new"));
        assert_eq!((new.message(), told(&new).message.as_str()), ("new words", "new words"));
        assert_eq!((new.code(), &told(&new).details), (error.code(), &told(&error).details));
        let plain = reworded(&tonic::Status::unknown("old"), &|text| text.replace("old", "new"));
        assert_eq!((plain.message(), plain.details()), ("new", &b""[..]));
    }
}
