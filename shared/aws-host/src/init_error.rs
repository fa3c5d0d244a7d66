//! Tells Lambda why a function cannot start.
//!
//! The runtime library polls for invocations and has no call for a failure before the first poll, so the one request is
//! written by hand: a POST over plain HTTP to the runtime API of the same machine. It is made before any asynchronous
//! runtime exists and is bounded in time; whoever calls it ends the process afterwards in any case.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use collector::error::Error;
use serde_json::json;

/// The runtime API answers from the same machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reports the error to the runtime API at `address` (`host:port`).
pub fn report(address: &str, error: &Error) -> io::Result<()> {
    let target = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request(address, error).as_bytes())?;
    // The answer has nothing to say; reading its beginning makes sure that the request was read.
    let mut beginning = [0; 12];
    stream.read_exact(&mut beginning)
}

fn request(address: &str, error: &Error) -> String {
    let error_type = error.error_type.as_str();
    let body =
        json!({"errorType": error_type, "errorMessage": error.to_string(), "stackTrace": []}).to_string();
    format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\n\
         Host: {address}\r\n\
         Content-Type: application/vnd.aws.lambda.error+json\r\n\
         Lambda-Runtime-Function-Error-Type: {error_type}\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use collector::error::{ErrorType, code};

    use super::*;

    fn error() -> Error {
        Error::new(
            ErrorType::InitVariablesError,
            code::SETTINGS,
            "_HANDLER `x` is not known: set it\nSTATE_TABLE is not set",
        )
    }

    #[test]
    fn the_runtime_api_gets_type_and_message() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut received = String::new();
            while !received.ends_with('}') {
                let mut chunk = [0; 4096];
                let read = stream.read(&mut chunk).unwrap();
                received.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
            }
            stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").unwrap();
            received
        });
        report(&address, &error()).unwrap();
        insta::assert_snapshot!(server.join().unwrap().replace(&address, "RUNTIME_API").replace('\r', ""));
    }

    #[test]
    fn a_runtime_api_that_is_not_there_is_an_error_and_no_panic() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert!(report(&address, &error()).is_err());
        assert!(report("no address", &error()).is_err());
    }
}
