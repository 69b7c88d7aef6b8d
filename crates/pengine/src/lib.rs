//! The engine the user means: contexts, TLS, ssh, capabilities, hijacked connections.
