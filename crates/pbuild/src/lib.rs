//! Build, audit, tag.
