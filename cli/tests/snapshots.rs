//! What the command prints, word for word, with its exit codes: `tests/cmd/*.trycmd`.
//!
//! To take over a change that is meant: `TRYCMD=overwrite cargo test -p dbs-cli --test snapshots`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[test]
fn snapshots() {
    trycmd::TestCases::new()
        .env("DBS_PASSPHRASE", "correct horse")
        .case("tests/cmd/*.trycmd");
}
