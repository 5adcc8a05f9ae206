//! The field GF(2^8) with the polynomial 0x11D, and the kernels that do arithmetic in bulk.
