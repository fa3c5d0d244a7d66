//! DynamoDB's API as a process of its own, served from memory by an emulator that is no part of this project.
//!
//! Prints its address (`127.0.0.1:port`) as one line and serves until its standard input ends, so that it never
//! outlives the test that started it.

use std::io::{self, Write};

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let database = dynoxide::Database::memory().map_err(io::Error::other)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let mut starter = tokio::io::stdin();
    tokio::select! {
        () = dynoxide::server::serve_on(listener, database) => Ok(()),
        end = async move { starter.read_to_end(&mut Vec::new()).await } => end.map(|_| ()),
    }
}
