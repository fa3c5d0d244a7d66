//! Certificates made on the spot: Devo's private authority with server and client, and what must be refused.
//!
//! Laid out as Devo's own chain file is: a self-signed root that issued the server's certificate, and beside it the
//! authority that issues the clients' certificates; both stand in the chain. Nothing is valid anywhere else, and
//! every start makes new keys.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, RsaKeySize, date_time_ymd,
};

/// A certificate and its private key as PEM text.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS#8.
    pub private_key_pem: String,
}

impl Identity {
    /// A self-signed certificate over a fresh RSA-2048 key, as an application registration takes it for client
    /// assertions.
    pub fn self_signed_rsa(common_name: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let certificate = named(common_name).self_signed(&key)?;
        Ok(Self { certificate_pem: certificate.pem(), private_key_pem: key.serialize_pem() })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Identity(…)")
    }
}

/// Everything that a mutual TLS exchange with Devo can meet.
#[derive(Debug, Clone)]
pub struct DevoPki {
    /// Root and client-issuing authority: the trust store of both sides.
    pub chain_pem: String,
    /// The receiver's own certificate.
    pub server: Identity,
    /// A client whom the receiver trusts.
    pub client: Identity,
    /// A client of an authority that the receiver does not know.
    pub foreign_client: Identity,
    /// A client of the right authority whose certificate ended in 2020.
    pub expired_client: Identity,
}

impl DevoPki {
    /// Makes all keys and certificates; the server's is valid for `server_names` (DNS names or IP addresses).
    pub fn generate(server_names: &[String]) -> Result<Self, rcgen::Error> {
        let root = authority("simulated root")?;
        let client_issuer = CertifiedIssuer::signed_by(
            authority_params("simulated client authority"),
            KeyPair::generate()?,
            &root,
        )?;
        let foreign_root = authority("foreign root")?;

        let mut server_params = CertificateParams::new(server_names)?;
        server_params.distinguished_name.push(DnType::CommonName, "simulated collector endpoint");
        server_params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];

        let mut expired_params = client_params("expired client");
        expired_params.not_before = date_time_ymd(2019, 1, 1);
        expired_params.not_after = date_time_ymd(2020, 1, 1);

        Ok(Self {
            chain_pem: format!("{}{}", root.pem(), client_issuer.pem()),
            server: issue(&server_params, &root)?,
            client: issue(&client_params("domain client"), &client_issuer)?,
            foreign_client: issue(&client_params("foreign client"), &foreign_root)?,
            expired_client: issue(&expired_params, &client_issuer)?,
        })
    }
}

fn authority(common_name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    CertifiedIssuer::self_signed(authority_params(common_name), KeyPair::generate()?)
}

fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = named(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn client_params(common_name: &str) -> CertificateParams {
    let mut params = named(common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn issue(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Result<Identity, rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Identity { certificate_pem: certificate.pem(), private_key_pem: key.serialize_pem() })
}
