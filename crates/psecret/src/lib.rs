//! A user's secret, read once and never shown: value, name, sources, forms, redactor.
