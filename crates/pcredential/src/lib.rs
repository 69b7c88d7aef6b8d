//! A service's credential: catalogue of services, generation, rotation states, injected variables.
