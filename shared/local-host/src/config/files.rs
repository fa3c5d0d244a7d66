//! Where the files of a configuration are: the vendor's folder layout.
//!
//! `<product>/config/config.yaml`, `<product>/certs/`, `<product>/state/`. The container's working directory is
//! `<product>`, so relative names count from there; here they count from the configuration file, wherever the command
//! was started.

use std::path::{Path, PathBuf};

/// The folders that names of a configuration are looked up in.
pub(super) struct Folders {
    /// The folder of the configuration file.
    config: PathBuf,
    /// The folder above it.
    product: PathBuf,
}

impl Folders {
    /// The folders around the configuration file at `path`.
    pub(super) fn of(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let config = absolute.parent().unwrap_or(Path::new(".")).to_owned();
        let product = config.parent().unwrap_or(&config).to_owned();
        Self { config, product }
    }

    /// A folder such as `state`: beside `config/`, or beside the file itself where its folder has another name.
    pub(super) fn beside_config(&self, name: &str) -> PathBuf {
        let in_vendors_layout = self.config.file_name().is_some_and(|name| name == "config");
        if in_vendors_layout { self.product.join(name) } else { self.config.join(name) }
    }

    /// Places where a certificate file of this name may be, the likeliest first.
    pub(super) fn certificate_candidates(&self, name: &str) -> Vec<PathBuf> {
        let mut candidates = vec![
            self.product.join("certs").join(name),
            self.config.join("certs").join(name),
            self.config.join(name),
            self.product.join(name),
            PathBuf::from(name),
        ];
        candidates.dedup();
        candidates
    }
}

/// Finds the configuration file: the one given (a bare name may lie in `config/`, as the vendor's `CONFIG_FILE` has
/// it), else `config/config.yaml`, else `config.yaml`. `root` is the folder that relative names count from.
pub fn locate(root: &Path, given: Option<&Path>) -> PathBuf {
    let name = given.unwrap_or(Path::new("config.yaml"));
    let plain = root.join(name);
    let in_config = root.join("config").join(name);
    let prefers_folder = given.is_none() || !plain.exists();
    if prefers_folder && in_config.exists() { in_config } else { plain }
}
