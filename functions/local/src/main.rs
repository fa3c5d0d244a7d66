//! The binary `collector`; see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    local::main()
}
