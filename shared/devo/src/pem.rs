//! PEM text that lost its shape on the way through a secret, a form or an environment variable.
//!
//! A PEM block is two dashed lines with base64 between them, and white space means nothing inside it. So the text is
//! read without any: spaces, real line breaks and the two characters `\n` are dropped, the blocks are found by their
//! dashes and written again in lines of 64. Text between blocks is ignored. No error shows the content.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why a text gives no PEM block, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// No `-----BEGIN …-----`.
    #[error("is not PEM: it holds no line `-----BEGIN …-----`")]
    NoBegin,
    /// A block without its `-----END …-----`.
    #[error("is cut off: a PEM block has no line `-----END …-----`")]
    NoEnd,
    /// Something else than base64 between the dashed lines.
    #[error("is damaged: a PEM block holds something else than base64")]
    NotBase64,
    /// A key behind a passphrase.
    #[error("is encrypted: store the key without a passphrase")]
    Encrypted,
    /// PEM, but no certificate among its blocks.
    #[error("holds no block `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    /// PEM, but no private key among its blocks.
    #[error("holds no private key in PEM")]
    NoKey,
}

/// The words that labels are made of, so that their spaces can be put back.
const LABEL_WORDS: [&str; 14] = [
    "ENCRYPTED",
    "PRIVATE",
    "PUBLIC",
    "KEY",
    "RSA",
    "DSA",
    "EC",
    "X509",
    "CRL",
    "CERTIFICATE",
    "REQUEST",
    "PARAMETERS",
    "TRUSTED",
    "NEW",
];
const LINE_LENGTH: usize = 64;
const BEGIN: &str = "-----BEGIN";
const END: &str = "-----END";
const DASHES: &str = "-----";

/// Writes every PEM block of `text` in its proper form, in order, whatever became of its line breaks.
pub fn mend(text: &str) -> Result<String, PemError> {
    let joined = without_white_space(text);
    if joined.is_empty() {
        return Err(PemError::Empty);
    }
    let mut mended = String::with_capacity(joined.len() + joined.len() / LINE_LENGTH + 64);
    let mut rest = joined.as_str();
    while let Some((_, from_label)) = rest.split_once(BEGIN) {
        let (label, from_body) = from_label.split_once(DASHES).ok_or(PemError::NoEnd)?;
        let (body, from_end) = from_body.split_once(END).ok_or(PemError::NoEnd)?;
        let after = from_end.strip_prefix(label).and_then(|tail| tail.strip_prefix(DASHES));
        rest = after.ok_or(PemError::NoEnd)?;
        write_block(label, body, &mut mended)?;
    }
    if mended.is_empty() { Err(PemError::NoBegin) } else { Ok(mended) }
}

/// Every certificate of `text`, in order; at least one.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mended = mend(text)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(mended.as_bytes()).collect();
    let found = found.map_err(|_| PemError::NotBase64)?;
    if found.is_empty() { Err(PemError::NoCertificate) } else { Ok(found) }
}

/// The first private key of `text`: PKCS#1, PKCS#8 or SEC1.
pub fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, PemError> {
    let mended = mend(text)?;
    PrivateKeyDer::from_pem_slice(mended.as_bytes()).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => PemError::NoKey,
        _ => PemError::NotBase64,
    })
}

/// Drops white space, byte order marks, and escapes of white space: backslashes and the letter n, r or t after them.
fn without_white_space(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_whitespace() || character == '\u{feff}' {
            continue;
        }
        if character != '\\' {
            kept.push(character);
            continue;
        }
        while characters.next_if_eq(&'\\').is_some() {}
        _ = characters.next_if(|next| matches!(next, 'n' | 'r' | 't'));
    }
    kept
}

fn write_block(label: &str, body: &str, mended: &mut String) -> Result<(), PemError> {
    if label.contains("ENCRYPTED") || body.contains("Proc-Type:") {
        return Err(PemError::Encrypted);
    }
    let digits = body.trim_end_matches('=');
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    if digits.is_empty() || digits.len() % 4 == 1 || !digits.bytes().all(is_base64) {
        return Err(PemError::NotBase64);
    }
    let name = spaced_label(label);
    mended.push_str(&format!("{BEGIN} {name}{DASHES}\n"));
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % LINE_LENGTH == 0 {
            mended.push('\n');
        }
        mended.push(digit);
    }
    mended.extend(std::iter::repeat_n('=', digits.len().next_multiple_of(4) - digits.len()));
    mended.push_str(&format!("\n{END} {name}{DASHES}\n"));
    Ok(())
}

/// `RSAPRIVATEKEY` is `RSA PRIVATE KEY`; a label with another word stays as it is.
fn spaced_label(label: &str) -> String {
    let mut words = Vec::new();
    let mut rest = label;
    while !rest.is_empty() {
        let Some((word, tail)) = LABEL_WORDS.iter().find_map(|word| Some((*word, rest.strip_prefix(word)?)))
        else {
            return label.to_owned();
        };
        words.push(word);
        rest = tail;
    }
    words.join(" ")
}
