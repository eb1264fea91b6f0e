//! Families of a homeschool co-op: their children, their payments, and why they are
//! locked out of the portal.

mod children;
mod events;
mod families;
mod payments;

pub use children::Child;
pub use events::*;
pub use families::{Family, PortalAccess, Status};
pub use payments::{Payment, PaymentStatus};

fantascope_sdk::projection! { name = "family_account", version = 1, tables = [Family, Child, Payment] }
