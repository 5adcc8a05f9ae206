#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dbs_fuzz::legacy_parse::run(data));
