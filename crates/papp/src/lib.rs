//! The manifest `app.toml`: names, services, steps; never a value.
