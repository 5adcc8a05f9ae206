#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dbs_fuzz::hostile_tar::run(data));
