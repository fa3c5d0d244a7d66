//! TLS as both sides of the benchmark speak it: mutual, one provider, certificates made on the spot.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use simulator::pki::DevoPki;

use crate::Outcome;
use crate::receiver::Received;

/// The receiver's side.
pub fn server(pki: &DevoPki) -> Outcome<Arc<ServerConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&pki.chain_pem)?), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.build()?)
        .with_single_cert(certificates(&pki.server.certificate_pem)?, key(&pki.server.private_key_pem)?)?;
    Ok(Arc::new(config))
}

/// The sender's side, plainly set up.
pub fn client(receiver: &Received) -> Outcome<Arc<ClientConfig>> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(&receiver.chain)?)
        .with_client_auth_cert(certificates(&receiver.cert)?, key(&receiver.key)?)?;
    Ok(Arc::new(config))
}

fn roots(pem: &str) -> Outcome<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn certificates(pem: &str) -> Outcome<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(io::Error::other)?)
}

fn key(pem: &str) -> Outcome<PrivateKeyDer<'static>> {
    Ok(PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?)
}
