//! Certificates made on the spot.

use std::sync::Arc;

use devo::{Compression, DevoConfig, TlsMaterial, Transport};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use secrecy::SecretString;

/// An authority, its own certificate included.
pub type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Leaf {
    pub cert: String,
    pub der: CertificateDer<'static>,
    pub key: String,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub fn authority(name: &str) -> Authority {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

pub fn authority_under(name: &str, issuer: &Authority) -> Authority {
    CertifiedIssuer::signed_by(authority_params(name), KeyPair::generate().unwrap(), issuer).unwrap()
}

/// An authority whose last day is the second of January of this year, under another one or by itself.
pub fn authority_until(name: &str, year: i32, issuer: Option<&Authority>) -> Authority {
    let mut params = authority_params(name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(year, 1, 2);
    let key = KeyPair::generate().unwrap();
    match issuer {
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

/// A server certificate for these names.
pub fn server(issuer: &Authority, names: &[&str]) -> Leaf {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf(params, issuer, KeyPair::generate().unwrap())
}

pub fn client(issuer: &Authority) -> Leaf {
    client_until(issuer, 2090)
}

/// A client certificate whose last day is the second of January of this year.
pub fn client_until(issuer: &Authority, year: i32) -> Leaf {
    client_of(issuer, year, KeyPair::generate().unwrap())
}

pub fn client_of(issuer: &Authority, year: i32, key: KeyPair) -> Leaf {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "client");
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(year, 1, 2);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    leaf(params, issuer, key)
}

fn leaf(params: CertificateParams, issuer: &Authority, key: KeyPair) -> Leaf {
    let certificate = params.signed_by(&key, issuer).unwrap();
    Leaf { cert: certificate.pem(), der: certificate.der().clone(), key: key.serialize_pem() }
}

/// A server that asks for a client certificate of `trusted`.
pub fn server_config(
    identity: &Leaf,
    trusted: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = KeyPair::from_pem(&identity.key).unwrap().serialize_der();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![identity.der.clone()], key)
        .unwrap();
    Arc::new(config)
}

/// One authority, a server on loopback and a client, as a Devo domain has them.
pub struct Domain {
    pub authority: Authority,
    pub server: Leaf,
    pub client: Leaf,
}

impl Domain {
    pub fn new() -> Self {
        let authority = authority("test authority");
        let server = server(&authority, &["127.0.0.1", "localhost"]);
        let client = client(&authority);
        Self { authority, server, client }
    }

    pub fn server_config(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        server_config(&self.server, &self.authority, versions)
    }

    pub fn material(&self) -> TlsMaterial {
        material(&self.authority.pem(), &self.client)
    }
}

pub fn material(chain: &str, client: &Leaf) -> TlsMaterial {
    TlsMaterial {
        chain: chain.to_owned(),
        cert: client.cert.clone(),
        key: SecretString::from(client.key.clone()),
        verify_hostname: true,
    }
}

pub fn config(port: u16, transport: Transport, compression: Compression) -> DevoConfig {
    DevoConfig { address: "127.0.0.1".to_owned(), port, transport, compression, host: "unit".to_owned() }
}
