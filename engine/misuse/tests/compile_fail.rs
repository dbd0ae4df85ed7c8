//! Confirming what is not durable does not compile.

#[test]
fn a_confirmation_is_made_from_a_durable_only() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
