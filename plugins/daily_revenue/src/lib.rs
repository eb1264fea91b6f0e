//! Money that was really paid, by day and currency, and what was bought for it.

mod events;
mod products;
mod revenue;

pub use events::*;
pub use products::Product;
pub use revenue::Revenue;

fantascope_sdk::projection! { name = "daily_revenue", version = 1, tables = [Revenue, Product] }
