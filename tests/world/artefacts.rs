//! The shipped executables, made once before the first test that needs one.
//!
//! They are what an operator deploys, unmodified. `bootstrap` is the very file that `python3 infra/tools build` packs for
//! Lambda; `collector` is a release build by the same cargo. Both land in the target folder of the tests themselves, and
//! when they are fresh it is over in a moment. For quick work on the code, `COLLECTOR_BOOTSTRAP` names an executable to
//! test instead of the artefact, such as `target/release/bootstrap` after `cargo build --release -p lambda`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The executable of all Lambda functions.
pub fn bootstrap() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match variable("COLLECTOR_BOOTSTRAP") {
        Some(path) => existing(workspace().join(path)),
        None => artefact(),
    })
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
    variable("COLLECTOR_SAMPLES")
}

fn artefact() -> PathBuf {
    // For the processor of this machine, or it would not start here.
    let architecture = if env::consts::ARCH == "aarch64" { "arm64" } else { "x86_64" };
    let mut command = Command::new("python3");
    command.args(["infra/tools", "build", "--quiet", "--json", "--arch", architecture]);
    command.env("CARGO_TARGET_DIR", target_folder());
    let output =
        command.current_dir(workspace()).stderr(Stdio::inherit()).output().expect("python3 is needed");
    assert!(output.status.success(), "the artefact does not build: python3 infra/tools build");
    let built: Value = serde_json::from_slice(&output.stdout).unwrap();
    existing(PathBuf::from(built["executable"].as_str().unwrap()))
}

fn build(package: &str, executable: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--package", package])
        .current_dir(workspace())
        .status()
        .unwrap();
    assert!(status.success(), "{package} does not build");
    existing(target_folder().join("release").join(executable))
}

/// Where cargo puts what it builds: as told, or else where it put this very test (`…/target/release/deps/e2e-…`).
fn target_folder() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace().join(folder),
        None => env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned(),
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.is_file(), "there is no {}", path.display());
    path
}
