//! Every order as it stands now, for lists and searches: a projection of one table,
//! `orders`.

mod events;
mod orders;

pub use events::{Line, OrderCancelled, OrderEvent, OrderPaid, OrderPlaced, OrderShipped};
pub use orders::{Order, Status};

fantascope_sdk::projection! { name = "order_list", version = 1, tables = [Order] }
