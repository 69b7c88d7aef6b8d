//! The engine's records of builds, and the provenance in them.
//!
//! Sources: buildx `build/provenance.go`; containerd `api/services/content/v1/content.proto`.

use bollard_buildkit_proto::moby::buildkit::v1 as control;
use http::uri::PathAndQuery;
use pgateway::channel::MESSAGE_LIMIT;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use crate::error::BuildkitError;
use crate::session::content::{ReadRequest, ReadResponse};

/// The longest document that is read, in bytes.
const LONGEST: usize = 64 << 20;
/// The beginning of the names of all forms of provenance.
const FORMS: &str = "https://slsa.dev/provenance/";

/// A document that tells how an image was made, from the engine's record of the build.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// The platform of the image, such as `linux/amd64`, if the build has several platforms.
    pub platform: Option<String>,
    /// The form of the document: `https://slsa.dev/provenance/v0.2` or a newer one.
    pub form: String,
    /// The document.
    pub document: Value,
}

/// Reads the provenance of a build from its record.
pub(crate) async fn provenance(
    record: control::BuildHistoryRecord,
    channel: &Channel,
) -> Result<Vec<Provenance>, BuildkitError> {
    let mut results: Vec<(Option<String>, control::BuildResultInfo)> =
        record.results.into_iter().map(|(platform, result)| (Some(platform), result)).collect();
    results.sort_by(|one, other| one.0.cmp(&other.0));
    if results.is_empty() {
        results.extend(record.result.map(|result| (None, result)));
    }
    let mut found = Vec::new();
    for (platform, result) in results {
        let Some((part, form)) = result.attestations.iter().find_map(|part| Some((part, form_of(part)?))) else {
            continue;
        };
        let bytes = read(channel.clone(), &part.digest).await?;
        let Ok(document) = serde_json::from_slice(&bytes) else {
            return Err(BuildkitError::Unexpected { problem: "the provenance of the build is not JSON" });
        };
        found.push(Provenance { platform, form: form.to_owned(), document });
    }
    Ok(found)
}

/// Returns the form of a document of a record, if the document is provenance.
fn form_of(part: &control::Descriptor) -> Option<&str> {
    let form = part.annotations.get("in-toto.io/predicate-type").filter(|form| form.starts_with(FORMS))?;
    (part.media_type == "application/vnd.in-toto+json").then_some(form)
}

/// Reads a blob of the engine's content store.
async fn read(channel: Channel, digest: &str) -> Result<Vec<u8>, BuildkitError> {
    let mut client = Grpc::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = Request::new(ReadRequest { digest: digest.to_owned(), offset: 0, size: 0 });
    let path = PathAndQuery::from_static("/containerd.services.content.v1.Content/Read");
    let codec = ProstCodec::<ReadRequest, ReadResponse>::default();
    let mut pieces = client.server_streaming(request, path, codec).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.message().await? {
        bytes.extend_from_slice(&piece.data);
        if bytes.len() > LONGEST {
            return Err(BuildkitError::Unexpected { problem: "the provenance of the build is too long" });
        }
    }
    if digest.strip_prefix("sha256:") != Some(&base16ct::lower::encode_string(&Sha256::digest(&bytes))) {
        return Err(BuildkitError::Unexpected { problem: "the provenance of the build has another digest" });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_provenance_is_provenance() {
        let part = |media_type: &str, form: &str| control::Descriptor {
            media_type: media_type.to_owned(),
            annotations: [("in-toto.io/predicate-type".to_owned(), form.to_owned())].into(),
            ..control::Descriptor::default()
        };
        let v1 = "https://slsa.dev/provenance/v1";
        assert_eq!(form_of(&part("application/vnd.in-toto+json", v1)), Some(v1));
        assert_eq!(form_of(&part("application/vnd.in-toto+json", "https://spdx.dev/Document")), None);
        assert_eq!(form_of(&part("text/plain", v1)), None);
        assert_eq!(form_of(&control::Descriptor::default()), None);
    }
}
