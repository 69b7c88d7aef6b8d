//! An image archive as ordered, verified layers and metadata, read in one pass.
