//! What the kernel says a process has used: processor time, and memory at its peak.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use crate::Outcome;

/// Processor time of all threads of this process so far, user and system, to the nanosecond.
pub fn time() -> Outcome<Duration> {
    // A running thread's account is a tick old; one that was just switched off is up to date.
    thread::sleep(Duration::from_nanos(1));
    time_of("self")
}

/// The same of another process, as far as the threads that it still has go. `process` is `self` or a number.
pub fn time_of(process: &str) -> Outcome<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let account = match fs::read_to_string(task?.path().join("schedstat")) {
            Ok(account) => account,
            // It ended just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        nanoseconds += account.split_whitespace().next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Processor time of a piece of work, in microseconds for each of `records`.
pub fn micros_each(records: usize, work: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let before = time()?;
    work()?;
    Ok(share(time()?.saturating_sub(before), records))
}

/// This much time, in microseconds for each of `records`.
pub fn share(whole: Duration, records: usize) -> f64 {
    whole.as_secs_f64() * 1e6 / records as f64
}

/// The most memory that the process ever had resident, in bytes. `process` is `self` or a number.
pub fn peak_memory(process: &str) -> Outcome<u64> {
    status(process, "VmHWM:")
}

/// The memory that the process has resident now, in bytes.
pub fn memory(process: &str) -> Outcome<u64> {
    status(process, "VmRSS:")
}

fn status(process: &str, name: &str) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let line = line.ok_or_else(|| format!("/proc/{process}/status has no line {name}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
