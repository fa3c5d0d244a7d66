//! This executable again, in another role: one line of JSON in, one line of JSON out.
//!
//! A child lives for as long as its standard input is open, so none survives the benchmark, however that ends.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use clap::ValueEnum;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Outcome, activities, feed, inventory, memory, pipeline, receiver, server};

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Serves pages over HTTP.
    Server,
    /// Serves a content feed over HTTP.
    Feed,
    /// Serves an inventory over HTTP.
    Inventory,
    /// Serves a scan of activities over HTTP.
    Activities,
    /// Receives events over mutual TLS.
    Receiver,
    /// Runs the pipeline and its parts in turn.
    Pipeline,
    /// Runs the pipeline once and tells its peak of memory.
    Peak,
}

/// A running child.
pub struct Helper {
    process: Child,
    /// Held open: its end is the child's end.
    _input: ChildStdin,
}

/// Starts a child with its order, and waits for its answer.
pub fn start<A: DeserializeOwned>(role: Role, order: &impl Serialize) -> Outcome<(Helper, A)> {
    let name = role.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let mut process = Command::new(std::env::current_exe()?)
        .args(["role", &name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = process.stdin.take().ok_or("a child without standard input")?;
    let output = process.stdout.take().ok_or("a child without standard output")?;
    serde_json::to_writer(&mut input, order)?;
    input.write_all(b"\n")?;
    let helper = Helper { process, _input: input };
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let answer = serde_json::from_str(&line).map_err(|_| format!("the {name} ended without an answer"))?;
    Ok((helper, answer))
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may be gone already, and that is as good.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// The child's side.
pub fn play(role: Role) -> Outcome<()> {
    let mut order = String::new();
    io::stdin().lock().read_line(&mut order)?;
    let answer = match role {
        Role::Server => serde_json::to_string(&server::serve(serde_json::from_str(&order)?)?)?,
        Role::Feed => serde_json::to_string(&feed::serve(serde_json::from_str(&order)?)?)?,
        Role::Inventory => serde_json::to_string(&inventory::serve(serde_json::from_str(&order)?)?)?,
        Role::Activities => serde_json::to_string(&activities::serve(serde_json::from_str(&order)?)?)?,
        Role::Receiver => serde_json::to_string(&receiver::receive()?)?,
        Role::Pipeline => serde_json::to_string(&pipeline::work(&serde_json::from_str(&order)?)?)?,
        Role::Peak => serde_json::to_string(&memory::work(&serde_json::from_str(&order)?)?)?,
    };
    writeln!(io::stdout(), "{answer}")?;
    // The end of the input is the parent's end.
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}
