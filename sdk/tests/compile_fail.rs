//! What rustc says to a mistake. `TRYBUILD=overwrite cargo test` writes it anew.

#[test]
fn mistakes_are_told_where_they_are_made() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
