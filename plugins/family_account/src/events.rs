//! What happens to a family.

use fantascope_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event("FamilyEnrolled")]
pub struct FamilyEnrolled {
    pub family_name: String,
    /// A day, such as `2024-09-01`, as all that end in `_on` and `_since`.
    pub enrolled_on: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("ChildAdded")]
pub struct ChildAdded {
    pub child_name: String,
    pub age: u32,
    pub grade: u32,
}

#[derive(Event, Serialize, Deserialize)]
#[event("PaymentDue")]
pub struct PaymentDue {
    /// Names the payment within the family, such as `2024-10`.
    pub due_id: String,
    pub amount_cents: i64,
    pub currency: String,
    pub due_on: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("PaymentOverdue")]
pub struct PaymentOverdue {
    pub due_id: String,
    pub amount_cents: i64,
    pub currency: String,
    pub due_on: String,
    pub overdue_since: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("PaymentReceived")]
pub struct PaymentReceived {
    pub due_id: String,
    pub amount_cents: i64,
    pub method: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("PortalAccessLocked")]
pub struct PortalAccessLocked {
    pub reason: String,
    /// Whether a rule did it, not a person.
    pub automatic: bool,
}

#[derive(Event, Serialize, Deserialize)]
#[event("PortalAccessRestored")]
pub struct PortalAccessRestored {}

#[derive(Event, Serialize, Deserialize)]
#[event("FamilyWithdrawn")]
pub struct FamilyWithdrawn {
    pub reason: String,
    pub withdrawn_on: String,
}

/// Takes a `FamilyWithdrawn` back that was a mistake. Both stay in the history.
#[derive(Event, Serialize, Deserialize)]
#[event("FamilyWithdrawalReversed")]
pub struct FamilyWithdrawalReversed {
    pub reason: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("ContactUpdated")]
pub struct ContactUpdated {
    pub email: String,
    pub phone: String,
}

/// All that a family's account is made of.
#[derive(Events)]
pub enum FamilyEvent {
    Enrolled(FamilyEnrolled),
    ChildAdded(ChildAdded),
    Due(PaymentDue),
    Overdue(PaymentOverdue),
    Received(PaymentReceived),
    Locked(PortalAccessLocked),
    Restored(PortalAccessRestored),
    Withdrawn(FamilyWithdrawn),
    WithdrawalReversed(FamilyWithdrawalReversed),
    ContactUpdated(ContactUpdated),
}

/// What concerns a single payment.
#[derive(Events)]
pub enum PaymentEvent {
    Due(PaymentDue),
    Overdue(PaymentOverdue),
    Received(PaymentReceived),
}
