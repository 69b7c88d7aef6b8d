//! A sealed file on disk: age-encrypted, locked, replaced atomically.
