//! The shipped executables, built once before the first test that needs one.
//!
//! They are what an operator deploys: release builds of `lambda` and `local`, unmodified, made by the same cargo and in
//! the same target folder as the tests themselves. When they are fresh the build is over in a moment.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The executable of all Lambda functions.
pub fn bootstrap() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("lambda", "bootstrap"))
}

/// The on-premise command.
pub fn collector() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("local", "collector"))
}

/// Root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The folder of real payloads, if the machine has one.
pub fn samples() -> Option<PathBuf> {
    env::var_os("COLLECTOR_SAMPLES").filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn build(package: &str, executable: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--package", package])
        .current_dir(workspace())
        .status()
        .unwrap();
    assert!(status.success(), "{package} does not build");
    let path = target_folder().join("release").join(executable);
    assert!(path.is_file(), "{} was not built", path.display());
    path
}

/// Where cargo puts what it builds: as told, or else where it put this very test (`…/target/release/deps/e2e-…`).
fn target_folder() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace().join(folder),
        None => env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned(),
    }
}
