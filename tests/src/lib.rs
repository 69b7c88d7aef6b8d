//! The acceptance suite: rules, flows and command lines, tried on real engines.
