//! Start, rotate, show.
