//! TLS as docker sets it up, from a folder with `ca.pem`, `cert.pem` and `key.pem`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::EngineError;

/// The files of a TLS client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificates {
    /// The certificate authorities that the other side's certificate is checked with; `None` stands for the machine's
    /// own authorities.
    pub(crate) authority: Option<PathBuf>,
    /// Our own certificate and its key, for a server that asks for them.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
}

impl Certificates {
    /// Finds the files in a folder of the docker client.
    fn in_folder(folder: &Path) -> Result<Self, EngineError> {
        if !folder.is_dir() {
            return Err(wrong(folder, "the folder does not exist"));
        }
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let own = (certificate.exists() || key.exists()).then_some((certificate, key));
        Ok(Self { authority: Some(folder.join("ca.pem")).filter(|path| path.exists()), own })
    }

    /// Makes a client configuration that checks the other side's certificate, and that shows our own if there is one.
    pub(crate) fn client(&self) -> Result<ClientConfig, EngineError> {
        let mut roots = RootCertStore::empty();
        let named = self.authority.as_deref().unwrap_or(Path::new("ca.pem"));
        match &self.authority {
            Some(path) => {
                for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(path, error))? {
                    let certificate = certificate.map_err(|error| wrong(path, error))?;
                    roots.add(certificate).map_err(|error| wrong(path, error))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(wrong(named, "no certificate authority to check the other side with"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(named, error))?
            .with_root_certificates(roots);
        let Some((certificate, key)) = &self.own else { return Ok(builder.with_no_client_auth()) };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong(certificate, error))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error))?;
        builder.with_client_auth_cert(chain, private).map_err(|error| wrong(key, error))
    }
}

/// Makes the client configuration for a folder of the docker client. Without a folder, the machine's own authorities
/// are used.
pub(crate) fn client(folder: Option<&Path>) -> Result<Arc<ClientConfig>, EngineError> {
    let certificates = folder.map(Certificates::in_folder).transpose()?.unwrap_or_default();
    certificates.client().map(Arc::new)
}

fn wrong(path: &Path, problem: impl fmt::Display) -> EngineError {
    EngineError::Certificate { path: path.to_owned(), problem: problem.to_string() }
}
