//! The collector's own story: what it tells Devo about itself under `devo.collectors.out` (CONTRACT 7).

/// Who tells the story: the members that every line of it carries.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `collector_name`: the stack's name, or the function.
    pub collector_name: String,
    /// `collector_version`.
    pub collector_version: String,
    /// `job_id`, when set.
    pub job_id: Option<String>,
}

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Ordinary.
    Info,
    /// The operator should look.
    Warning,
    /// Something failed.
    Error,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How serious.
    pub level: Level,
    /// The text.
    pub message: String,
}
