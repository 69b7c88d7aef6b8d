//! TLS as docker sets it up: a folder with `ca.pem`, `cert.pem` and `key.pem`.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::EngineError;

/// A client configuration that checks the engine's certificate and shows ours if the folder has one.
///
/// Without `ca.pem`, or without a folder, the machine's own certificate authorities decide.
pub(crate) fn client(folder: Option<&Path>) -> Result<Arc<ClientConfig>, EngineError> {
    let wrong = |path: &Path, problem: String| EngineError::Certificate { path: path.to_owned(), problem };
    if let Some(folder) = folder
        && !folder.is_dir()
    {
        return Err(wrong(folder, "the folder does not exist".to_owned()));
    }
    let mut roots = RootCertStore::empty();
    match folder.map(|folder| folder.join("ca.pem")).filter(|path| path.exists()) {
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(&path).map_err(|error| wrong(&path, error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| wrong(&path, error.to_string()))?;
                roots.add(certificate).map_err(|error| wrong(&path, error.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        let path = folder.map_or_else(|| Path::new("ca.pem").to_owned(), |folder| folder.join("ca.pem"));
        return Err(wrong(&path, "no certificate authority to check the engine with".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(folder.unwrap_or(Path::new("TLS")), error.to_string()))?
        .with_root_certificates(roots);
    let pair = folder.map(|folder| (folder.join("cert.pem"), folder.join("key.pem")));
    let configuration = match pair {
        Some((certificate, key)) if certificate.exists() || key.exists() => {
            let chain = CertificateDer::pem_file_iter(&certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| wrong(&certificate, error.to_string()))?;
            let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| wrong(&key, error.to_string()))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| wrong(&key, error.to_string()))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(configuration))
}
