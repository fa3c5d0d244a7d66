//! What a failure on the wire means to the operator: which of the three delivery errors it is, and in which words.
//!
//! 600 is an endpoint that was not reached, 601 a certificate that one side refuses, 602 a stream whose end proves
//! nothing. Only the alerts that speak of certificates are 601: a server that says no more than "closed" may have had
//! other reasons.

use collector::error::{Error, ErrorType, code};
use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError};

use crate::wire::WireError;

/// How far a stream had come when it failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) written: usize,
    pub(crate) total: usize,
}

/// The endpoint was not reached, for want of a connection or a handshake.
pub(crate) fn unreachable(endpoint: &str, cause: &str) -> Error {
    delivery(
        code::UNREACHABLE,
        format!(
            "cannot reach devo at {endpoint}: {cause}; check address, port and the network's way out to that port"
        ),
    )
}

/// The own certificate is over.
pub(crate) fn expired(not_after: Timestamp) -> Error {
    delivery(
        code::CERTIFICATE,
        format!(
            "the client certificate for devo expired at {not_after}: \
             take a new one from the domain's credentials and put it into `cert` and `key`"
        ),
    )
}

/// The certificate error of this failure, if it is one.
pub(crate) fn certificate(endpoint: &str, error: &WireError) -> Option<Error> {
    match error {
        WireError::Alert(alert) if speaks_of_certificates(*alert) => Some(delivery(
            code::CERTIFICATE,
            format!(
                "devo at {endpoint} refuses the client certificate (alert {alert:?}): \
                 check that `cert` and `key` are the domain's own and neither expired nor revoked"
            ),
        )),
        WireError::Tls(rustls::Error::InvalidCertificate(reason)) => Some(delivery(
            code::CERTIFICATE,
            format!("the certificate of devo at {endpoint} is refused: {}", server_certificate(reason)),
        )),
        _ => None,
    }
}

/// The stream did not end cleanly.
pub(crate) fn not_closed(endpoint: &str, progress: Progress, error: &WireError) -> Error {
    if let Some(refused) = certificate(endpoint, error) {
        return refused;
    }
    let Progress { written, total } = progress;
    let place = if written == 0 {
        "before the first byte; a server that refuses a certificate may do that too, check `cert` and `key`"
            .to_owned()
    } else {
        format!("after {written} of {total} bytes were written")
    };
    let message = match error {
        WireError::EndedEarly => format!("Connection closed by server {endpoint} too early, {place}"),
        WireError::Reset(cause) => {
            format!("Connection closed by server {endpoint} with a reset ({cause}), {place}")
        }
        WireError::Alert(alert) => {
            format!("Connection closed by server {endpoint} with the alert {alert:?}, {place}")
        }
        WireError::Talkative => {
            format!("Connection to server {endpoint} given up: it sends data, so it is no devo endpoint")
        }
        WireError::Tls(cause) => format!("Connection to server {endpoint} broken ({cause}), {place}"),
    };
    delivery(code::NOT_CLOSED, message)
}

/// The time was up before the peer's end.
pub(crate) fn out_of_time(endpoint: &str, progress: Progress) -> Error {
    let Progress { written, total } = progress;
    let message = if written < total {
        format!(
            "Connection to server {endpoint} too slow: {written} of {total} bytes were written by the deadline"
        )
    } else {
        format!(
            "Connection not closed by server {endpoint} by the deadline, though all {total} bytes were written"
        )
    };
    delivery(code::NOT_CLOSED, message)
}

fn delivery(number: u16, message: String) -> Error {
    Error::new(ErrorType::DeliveryError, number, message)
}

fn speaks_of_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::CertificateUnobtainable
            | AlertDescription::CertificateRequired
    )
}

fn server_certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no certificate in `chain` vouches for it; take the chain of this endpoint's region".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name; correct `address`, or set `verify_hostname` to false".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it expired; check the clock, or ask devo".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; check the clock".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that is not safe any more".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_alerts_about_certificates_are_certificate_errors() {
        for (alert, expected) in [
            (AlertDescription::CertificateRequired, code::CERTIFICATE),
            (AlertDescription::BadCertificate, code::CERTIFICATE),
            (AlertDescription::UnknownCA, code::CERTIFICATE),
            (AlertDescription::CertificateExpired, code::CERTIFICATE),
            (AlertDescription::CertificateRevoked, code::CERTIFICATE),
            (AlertDescription::CertificateUnknown, code::CERTIFICATE),
            (AlertDescription::AccessDenied, code::CERTIFICATE),
            (AlertDescription::InternalError, code::NOT_CLOSED),
            (AlertDescription::BadRecordMac, code::NOT_CLOSED),
            (AlertDescription::UserCanceled, code::NOT_CLOSED),
        ] {
            let error = not_closed("devo:443", Progress { written: 1, total: 2 }, &WireError::Alert(alert));
            assert_eq!(error.code, expected, "{alert:?}");
            assert!(
                error.message.contains(&format!("{alert:?}")) && error.message.contains("devo:443"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_words_of_an_unproven_end_tell_how_far_it_came() {
        let progress = Progress { written: 5, total: 9 };
        for (message, expected) in [
            (
                not_closed("d:1", progress, &WireError::EndedEarly).message,
                "too early, after 5 of 9 bytes were written",
            ),
            (out_of_time("d:1", progress).message, "too slow: 5 of 9 bytes were written by the deadline"),
            (
                out_of_time("d:1", Progress { written: 9, total: 9 }).message,
                "not closed by server d:1 by the deadline",
            ),
            (
                not_closed("d:1", Progress { written: 0, total: 9 }, &WireError::EndedEarly).message,
                "before the first byte",
            ),
        ] {
            assert!(message.contains(expected), "{message}");
        }
    }
}
