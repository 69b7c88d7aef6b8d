//! A BuildKit client: session services, control, LLB bridge, status.
