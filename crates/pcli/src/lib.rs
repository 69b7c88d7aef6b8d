//! What both tools share at the edge: errors to people, exit codes, progress.
