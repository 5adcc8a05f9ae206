//! Reed-Solomon codes: the matrix, encoding, erasures, errors.
