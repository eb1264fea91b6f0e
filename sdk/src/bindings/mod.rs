//! What `wit-bindgen` made of the newest WIT, by `cargo xtask bindings`. The
//! generated files are committed, so that a plugin's build needs no generator.

#[expect(
    unsafe_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    unused_qualifications,
    unreachable_pub,
    reason = "generated: raw exports can't do without `unsafe`"
)]
pub mod projection;

#[expect(
    unsafe_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    unused_qualifications,
    unreachable_pub,
    reason = "generated: raw exports can't do without `unsafe`"
)]
pub mod upcaster;
