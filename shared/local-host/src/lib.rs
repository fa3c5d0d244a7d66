//! Runs services in one process, without AWS: embedded state, files, `config.yaml`, a schedule.
//!
//! [`config::load`] reads the vendor's `config.yaml`; [`runner::prepare`] makes a runner of each enabled service;
//! [`schedule::run`] plays them until the process shall stop. The state is a [`store::FileStore`], events go to
//! [`outputs::Output`]s. [`check`] and [`status`] look without changing anything.

pub mod check;
pub mod config;
pub mod log;
pub mod outputs;
pub mod runner;
pub mod schedule;
pub mod status;
pub mod stop;
pub mod store;
