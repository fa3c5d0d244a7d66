//! TLS of the receiver: the client must show a certificate of the known authority.
//!
//! A second configuration refuses every certificate. Under TLS 1.3 the client's handshake is over by the time the
//! server looks at the certificate: the refusal reaches it as a late alert, as it does with Devo.

use std::io;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion, version,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::TlsAcceptor;

use crate::pki::DevoPki;

/// Which versions of TLS are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    Both,
    /// 1.2 alone: a refused certificate fails the handshake.
    Only12,
    /// 1.3 alone: a refused certificate is a late alert.
    Only13,
}

/// Acceptors of TLS connections.
#[derive(Clone)]
pub(super) struct Acceptors {
    /// Takes certificates of the known authority.
    pub(super) ordinary: TlsAcceptor,
    /// Takes none.
    pub(super) refusing: TlsAcceptor,
}

impl Acceptors {
    /// Builds both from the same keys.
    pub(super) fn new(pki: &DevoPki, versions: TlsVersions) -> io::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = certificates(&pki.chain_pem)?;
        let mut trusted = RootCertStore::empty();
        for root in roots {
            trusted.add(root).map_err(io::Error::other)?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), Arc::clone(&provider))
            .build()
            .map_err(io::Error::other)?;
        let refusing: Arc<dyn ClientCertVerifier> = Arc::new(RefusingVerifier(Arc::clone(&verifier)));
        Ok(Self {
            ordinary: acceptor(pki, versions, &provider, verifier)?,
            refusing: acceptor(pki, versions, &provider, refusing)?,
        })
    }
}

fn acceptor(
    pki: &DevoPki,
    versions: TlsVersions,
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> io::Result<TlsAcceptor> {
    let protocols: &[&'static SupportedProtocolVersion] = match versions {
        TlsVersions::Both => &[&version::TLS13, &version::TLS12],
        TlsVersions::Only12 => &[&version::TLS12],
        TlsVersions::Only13 => &[&version::TLS13],
    };
    let key =
        PrivateKeyDer::from_pem_slice(pki.server.private_key_pem.as_bytes()).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(protocols)
        .map_err(io::Error::other)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&pki.server.certificate_pem)?, key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(pem: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(io::Error::other)
}

/// Checks everything but takes nobody: the certificate counts as revoked.
#[derive(Debug)]
struct RefusingVerifier(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for RefusingVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Err(Error::InvalidCertificate(CertificateError::Revoked))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
