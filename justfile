# Everything that is done to this workspace, by name. `just` alone lists it.

default:
    @just --list

# The demo: a simulated tenant and Devo, all services.
demo *ARGS:
    cargo run -- demo {{ARGS}}

# What the gate runs.
ci:
    .ci/run

fmt:
    cargo fmt --all

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

deny:
    cargo deny --all-features check licenses bans sources

# All tests, the shipped artefact among them.
test:
    cargo test --workspace --release

# The core alone: rules and the simulated world.
test-core:
    cargo test --release -p collector

# Accept changed snapshots after having read them.
snapshots:
    INSTA_UPDATE=always cargo test --workspace --release

bench *ARGS:
    cargo build --release -p lambda
    cargo run --release -p bench -- {{ARGS}}

# What a month costs, computed from measured ticks.
costs *ARGS:
    cargo build --release -p lambda
    cargo run --release -p bench -- costs {{ARGS}}

# The Lambda artefact, once for all functions.
build *ARGS:
    python3 infra/tools build {{ARGS}}

# All of a deployment that can be proven without an account.
deployment:
    cargo test --release -p e2e deployment
