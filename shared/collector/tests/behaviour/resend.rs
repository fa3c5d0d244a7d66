//! resend
