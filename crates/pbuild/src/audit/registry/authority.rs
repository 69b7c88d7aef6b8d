//! The certificate authorities that docker would trust for a registry.
//!
//! Source: docker/docs "Verify repository client with certificates". Authorities are in `certs.d/HOST[:PORT]/*.crt`,
//! and pairs of a client certificate and a key in `*.cert` and `*.key`, below `/etc/docker`, or `~/.config/docker`
//! for rootless engines.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::RegistryError;

/// Makes the TLS configuration for a host. `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the machine's authorities.
pub(super) fn configuration(host: &str, folders: &[PathBuf]) -> Result<Arc<ClientConfig>, RegistryError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut pair = None;
    for folder in folders.iter().map(|folder| folder.join("certs.d").join(host)) {
        for path in files(&folder) {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => add_authorities(&mut roots, &path)?,
                Some("cert") => {
                    let key = path.with_extension("key");
                    pair.get_or_insert((path, key));
                }
                _ => {}
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RegistryError::Tls(error.to_string()))?
        .with_root_certificates(roots);
    let configuration = match pair {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(&certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| wrong(&certificate, &error))?;
            let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| wrong(&key, &error))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| wrong(&key, &error))?
        }
    };
    Ok(Arc::new(configuration))
}

/// Lists the folders in which docker keeps certificates by host.
pub(super) fn folders() -> Vec<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    [Some(PathBuf::from("/etc/docker")), own.map(|folder| folder.join("docker"))].into_iter().flatten().collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), RegistryError> {
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(path, &error))? {
        let certificate = certificate.map_err(|error| wrong(path, &error))?;
        roots.add(certificate).map_err(|error| wrong(path, &error))?;
    }
    Ok(())
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> RegistryError {
    RegistryError::Certificate { path: path.to_owned(), problem: error.to_string() }
}
