//! The static entrypoint that turns delivered secrets into environment and execs the app.
