//! Version 3, our own.
