//! Who did what and when, what caused it and what belongs together.

mod activity;
mod correlations;
mod summary;
mod users;

pub use activity::Activity;
pub use correlations::Correlation;
pub use users::User;

fantascope_sdk::projection! { name = "activity_feed", version = 1, tables = [Activity, Correlation, User] }
