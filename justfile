# Short names for the scripts; `just` itself is optional.

# List the recipes.
default:
    @just --list

# The whole gate: formatting, lints, unit tests, docs, acceptance tests on engines of our own.
ci:
    scripts/test

# The same; with names, only the acceptance tests that match.
test *names:
    scripts/test {{names}}

# The quick suite: no engine.
quick:
    cargo test --workspace --exclude acceptance

# The main job, narrated.
demo:
    scripts/demo

# up, down, status or env of an engine: `just engine up modern`.
engine *arguments:
    scripts/engine {{arguments}}
