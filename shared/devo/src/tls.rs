//! The client side of TLS towards Devo: who is trusted, and who we are.
//!
//! Trusted is what the `chain` file holds and nothing else: Devo's certificates come from a private authority. We are
//! what `cert` and `key` say. The name in the server's certificate is checked unless that is switched off; its
//! signatures and dates are checked always. Sessions are not resumed, so that each connection shows the certificate.

use std::sync::Arc;

use collector::outlook::{Certificate, Purpose};
use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use secrecy::ExposeSecret;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::TlsMaterial;
use crate::pem;

/// Longest way from a client certificate to its root that is looked for in `chain`.
const LONGEST_PATH: usize = 8;

/// Everything that a handshake needs.
#[derive(Debug, Clone)]
pub(crate) struct ClientTls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    pub(crate) validity: Validity,
}

/// When the client certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Validity {
    /// Whether the certificate's last second is over.
    pub(crate) fn is_over(self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// What the operator should know about it, if anything.
    pub(crate) fn warning(self, now: Timestamp) -> Option<String> {
        (now < self.not_before).then(|| {
            format!(
                "the client certificate for devo is not valid before {}: check `cert` and the clock",
                self.not_before
            )
        })
    }
}

/// Reads the material for connections to `address`. Gives every problem, each naming the part that it is about and
/// never its content.
pub(crate) fn client(material: &TlsMaterial, address: &str) -> Result<ClientTls, Vec<String>> {
    let mut problems = Vec::new();
    let chain =
        noted(pem::certificates(&material.chain).map_err(|error| format!("`chain` {error}")), &mut problems);
    let cert =
        noted(pem::certificates(&material.cert).map_err(|error| format!("`cert` {error}")), &mut problems);
    let key = pem::private_key(material.key.expose_secret()).map_err(|error| format!("`key` {error}"));
    let key = noted(key, &mut problems);
    let roots = chain.as_deref().and_then(|chain| noted(trust(chain), &mut problems));
    let validity = cert.as_deref().and_then(|cert| noted(validity(cert), &mut problems));
    let name = ServerName::try_from(address.to_owned());
    let name =
        noted(name.map_err(|_| "`address` is no host name and no IP address".to_owned()), &mut problems);
    let (Some(chain), Some(cert), Some(key), Some(roots), Some(validity), Some(name)) =
        (chain, cert, key, roots, validity, name)
    else {
        return Err(problems);
    };
    let config = configure(roots, with_issuers(cert, &chain), key, material.verify_hostname);
    config
        .map(|config| ClientTls { config: Arc::new(config), name, validity })
        .map_err(|problem| vec![problem])
}

/// The certificate that ends first on the way from the client's own to its root, as far as `cert` and `chain` hold it.
/// Others in `chain`, for example one that was replaced, do not count. `None` when `cert` cannot be read.
pub(crate) fn first_to_end(material: &TlsMaterial) -> Option<Certificate> {
    let cert = pem::certificates(&material.cert).ok()?;
    let chain = pem::certificates(&material.chain).unwrap_or_default();
    let own = Certificate { purpose: Purpose::Devo, ends_at: validity(&cert).ok()?.not_after };
    let mut way = with_issuers(cert, &chain);
    way.extend(way.last().and_then(|last| root_of(last, &chain)));
    let issuers = way.iter().skip(1).filter_map(|issuer| validity(std::slice::from_ref(issuer)).ok());
    let issuers = issuers.map(|its| Certificate { purpose: Purpose::IssuerForDevo, ends_at: its.not_after });
    issuers.chain([own]).min_by_key(|certificate| (certificate.ends_at, certificate.purpose))
}

/// The self-signed issuer of this certificate.
fn root_of(
    certificate: &CertificateDer<'static>,
    chain: &[CertificateDer<'static>],
) -> Option<CertificateDer<'static>> {
    let (_, issuer) = names(certificate)?;
    let is_root = |candidate: &&CertificateDer<'static>| {
        names(candidate).is_some_and(|(subject, above)| subject == issuer && subject == above)
    };
    chain.iter().find(is_root).cloned()
}

/// Subject and issuer, DER.
fn names(der: &CertificateDer<'static>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some((parsed.subject().as_raw().to_vec(), parsed.issuer().as_raw().to_vec()))
}

/// The value, or a note of why there is none.
fn noted<T>(result: Result<T, String>, problems: &mut Vec<String>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

fn trust(chain: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in chain.iter().enumerate() {
        let added = roots.add(certificate.clone());
        added
            .map_err(|_| format!("`chain` holds a certificate that cannot be read, number {}", index + 1))?;
    }
    Ok(Arc::new(roots))
}

fn validity(cert: &[CertificateDer<'static>]) -> Result<Validity, String> {
    let unreadable = || "`cert` holds a certificate that cannot be read".to_owned();
    let leaf = cert.first().ok_or_else(unreadable)?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
    let instant = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    Ok(Validity {
        not_before: instant(parsed.validity().not_before.timestamp()),
        not_after: instant(parsed.validity().not_after.timestamp()),
    })
}

/// A lone client certificate is sent with its issuers, where `chain` has them: a server that trusts the root alone
/// cannot find its way without. The root itself is not sent.
fn with_issuers(
    mut cert: Vec<CertificateDer<'static>>,
    chain: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    let mut last_issuer = match cert.as_slice() {
        [leaf] => names(leaf).map(|(_, issuer)| issuer),
        _ => None,
    };
    while let Some(wanted) = last_issuer {
        let issuer = chain.iter().find_map(|candidate| {
            let (subject, above) = names(candidate)?;
            (subject == wanted && subject != above).then_some((candidate, above))
        });
        let Some((certificate, above)) = issuer.filter(|_| cert.len() < LONGEST_PATH) else { break };
        cert.push(certificate.clone());
        last_issuer = Some(above);
    }
    cert
}

fn configure(
    roots: Arc<RootCertStore>,
    cert: Vec<CertificateDer<'static>>,
    key: rustls_pki_types::PrivateKeyDer<'static>,
    verify_hostname: bool,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build();
    let verifier = verifier.map_err(|error| format!("`chain` cannot be trusted: {error}"))?;
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12]);
    let builder = builder.map_err(|error| format!("tls cannot be set up: {error}"))?;
    let builder = if verify_hostname {
        builder.with_webpki_verifier(verifier)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { verifier }))
    };
    let mut config = builder.with_client_auth_cert(cert, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "`key` does not belong to the certificate in `cert`".to_owned(),
        rustls::Error::InvalidCertificate(_) => "`cert` holds a certificate that cannot be read".to_owned(),
        _ => "`key` is of a kind that cannot be used: RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519 can"
            .to_owned(),
    })?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Verifies everything but the name. The name is looked at last, so its error says that all else was right.
#[derive(Debug)]
struct AnyName {
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let outcome =
            self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match outcome {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
