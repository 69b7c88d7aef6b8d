//! Bytes searched for needles, and the report.
