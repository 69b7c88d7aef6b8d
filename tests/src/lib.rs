//! The acceptance suite: rules, flows and command lines, tried on real engines.
//!
//! The second of the three locks stands here, because no crate of the product may see both types. A function of the
//! build takes a user secret:
//!
//! ```
//! fn serve_to_build(_: psecret::UserSecret) {}
//!
//! serve_to_build(psecret::UserSecret::new(b"a user's own".to_vec()));
//! ```
//!
//! and no service credential, in no shape:
//!
//! ```compile_fail,E0308
//! fn serve_to_build(_: psecret::UserSecret) {}
//!
//! serve_to_build(pcredential::ServiceCredential::generate());
//! ```
//!
//! ```compile_fail,E0277
//! fn serve_to_build(_: impl Into<psecret::UserSecret>) {}
//!
//! serve_to_build(pcredential::ServiceCredential::generate());
//! ```
