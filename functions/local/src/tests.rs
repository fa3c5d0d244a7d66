//! The command line as its users see it.

use clap::CommandFactory;
use clap_complete::Shell;

use super::*;

fn help_of(name: &str) -> String {
    let mut command = Cli::command();
    command.build();
    let wanted = if name.is_empty() { &mut command } else { command.find_subcommand_mut(name).unwrap() };
    wanted.clone().term_width(100).render_long_help().to_string()
}

#[test]
fn the_help_of_every_command_says_what_it_does_with_examples() {
    for name in ["", "demo", "run", "check", "pull", "status", "backfill", "migrate", "completions"] {
        let shown = if name.is_empty() { "collector" } else { name };
        insta::assert_snapshot!(format!("help_{shown}"), help_of(name));
    }
}

#[test]
fn completions_name_every_command_in_every_shell() {
    let commands: Vec<_> = Cli::command().get_subcommands().map(|one| one.get_name().to_owned()).collect();
    for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "collector", &mut script);
        let script = String::from_utf8(script).unwrap();
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell} does not know {command}");
        }
    }
}

#[test]
fn a_window_needs_both_its_ends_a_backfill_its_function_and_the_demo_some_records() {
    let refused = [
        vec!["collector", "pull", "a.b", "--from", "2026-11-01T00:00:00Z"],
        vec!["collector", "pull", "a.b", "--to", "2026-11-01T00:00:00Z"],
        vec!["collector", "pull"],
        vec!["collector", "demo", "--events", "0"],
        vec!["collector", "backfill", "--function", "f", "--from", "2026-11-01T00:00:00Z"],
        vec!["collector", "backfill", "--from", "2026-11-01T00:00:00Z", "--to", "2026-11-02T00:00:00Z"],
        vec!["collector", "backfill", "--function", "", "--from", "a", "--to", "b"],
        vec!["collector", "migrate"],
        vec!["collector", "unknown"],
    ];
    for arguments in refused {
        assert_eq!(Cli::try_parse_from(&arguments).unwrap_err().exit_code(), 2, "{arguments:?}");
    }
}

#[test]
fn without_a_command_the_demo_is_played_with_its_defaults() {
    assert!(Cli::parse_from(["collector"]).command.is_none());
    let Some(Command::Demo(named)) = Cli::parse_from(["collector", "demo"]).command else {
        panic!("no demo")
    };
    let DemoArgs { events, faults, dir, json } = DemoArgs::default();
    assert_eq!((named.events, named.faults, named.dir, named.json), (events, faults, dir, json));
}
