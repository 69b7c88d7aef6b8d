//! Canaries, hand-made images and engines for tests.
