//! The table `families`: a row for each family.

use fantascope_sdk::prelude::*;

use crate::events::{FamilyEvent, PaymentOverdue, PortalAccessLocked};

#[derive(Row)]
#[row(table = "families", index(status, name), index(portal_access))]
pub struct Family {
    #[key]
    pub id: String,
    pub name: String,
    pub status: Status,
    pub enrolled_on: String,
    pub withdrawn_on: Option<String>,
    pub children: i64,
    pub email: Option<String>,
    pub phone: Option<String>,
    /// What was paid less what was due; below zero, the family owes money.
    pub balance_cents: i64,
    pub paid_cents: i64,
    pub last_payment_at: Option<Timestamp>,
    /// The last payment that was overdue and still is, as a sentence.
    pub overdue: Option<String>,
    pub portal_access: PortalAccess,
    pub locked_since: Option<Timestamp>,
    /// The answer to "Why are we locked out?"
    pub locked_because: Option<String>,
}

#[derive(TextEnum, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Enrolled,
    Withdrawn,
}

#[derive(TextEnum, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortalAccess {
    Active,
    Locked,
}

impl Fold for Family {
    type Event = FamilyEvent;

    fn apply(row: &mut Entry<Self>, event: &FamilyEvent, meta: &Meta) -> Result {
        if let FamilyEvent::Enrolled(e) = event {
            row.put(Family::enrolled(row.key(), &e.family_name, &e.enrolled_on));
            return Ok(());
        }
        let family = row.get()?;
        match event {
            FamilyEvent::Enrolled(_) => {}
            FamilyEvent::ChildAdded(_) => family.children += 1,
            FamilyEvent::Due(e) => family.balance_cents -= e.amount_cents,
            FamilyEvent::Overdue(e) => family.overdue = Some(overdue(e)),
            FamilyEvent::Received(e) => {
                family.balance_cents += e.amount_cents;
                family.paid_cents += e.amount_cents;
                family.last_payment_at = Some(meta.timestamp());
                if family.balance_cents >= 0 {
                    family.overdue = None;
                }
            }
            FamilyEvent::Locked(e) => {
                family.portal_access = PortalAccess::Locked;
                family.locked_since = Some(meta.timestamp());
                family.locked_because = Some(why_locked(family.overdue.as_deref(), e, meta));
            }
            FamilyEvent::Restored(_) => {
                family.portal_access = PortalAccess::Active;
                family.locked_since = None;
                family.locked_because = None;
            }
            FamilyEvent::Withdrawn(e) => {
                family.status = Status::Withdrawn;
                family.withdrawn_on = Some(e.withdrawn_on.clone());
            }
            FamilyEvent::WithdrawalReversed(_) => {
                family.status = Status::Enrolled;
                family.withdrawn_on = None;
            }
            FamilyEvent::ContactUpdated(e) => {
                family.email = Some(e.email.clone());
                family.phone = Some(e.phone.clone());
            }
        }
        Ok(())
    }
}

impl Family {
    fn enrolled(id: &str, name: &str, on: &str) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            status: Status::Enrolled,
            enrolled_on: on.into(),
            withdrawn_on: None,
            children: 0,
            email: None,
            phone: None,
            balance_cents: 0,
            paid_cents: 0,
            last_payment_at: None,
            overdue: None,
            portal_access: PortalAccess::Active,
            locked_since: None,
            locked_because: None,
        }
    }
}

fn overdue(e: &PaymentOverdue) -> String {
    let amount = Decimal::from_minor(e.amount_cents, 2);
    format!("payment of {amount} {} due {} was overdue since {}", e.currency, e.due_on, e.overdue_since)
}

fn why_locked(overdue: Option<&str>, e: &PortalAccessLocked, meta: &Meta) -> String {
    let day = meta.day();
    match (e.automatic, overdue) {
        (true, Some(overdue)) => format!("{overdue}; locked automatically on {day}"),
        (true, None) => format!("{}; locked automatically on {day}", e.reason),
        (false, _) => format!("{}; locked by {} on {day}", e.reason, meta.user_id().unwrap_or("somebody")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::*;

    const ID: &str = "family-0042";

    fn enrolled() -> FamilyEnrolled {
        FamilyEnrolled { family_name: "Martinez Family".into(), enrolled_on: "2024-09-01".into() }
    }

    fn due(due_id: &str) -> PaymentDue {
        PaymentDue {
            due_id: due_id.into(),
            amount_cents: 45_000,
            currency: "USD".into(),
            due_on: format!("{due_id}-01"),
        }
    }

    fn overdue() -> PaymentOverdue {
        PaymentOverdue {
            due_id: "2024-10".into(),
            amount_cents: 45_000,
            currency: "USD".into(),
            due_on: "2024-10-01".into(),
            overdue_since: "2024-10-16".into(),
        }
    }

    fn received() -> PaymentReceived {
        PaymentReceived { due_id: "2024-10".into(), amount_cents: 45_000, method: "card".into() }
    }

    fn locked(reason: &str, automatic: bool) -> PortalAccessLocked {
        PortalAccessLocked { reason: reason.into(), automatic }
    }

    fn family() -> Family {
        Family::enrolled(ID, "Martinez Family", "2024-09-01")
    }

    fn time(text: &str) -> Option<Timestamp> {
        Some(text.parse().expect("a time"))
    }

    #[test]
    fn says_why_it_is_locked_out() {
        Spec::of::<Family>()
            .given(ID, enrolled())
            .given(ID, due("2024-10"))
            .at("2024-10-16T06:00:00Z")
            .given(ID, overdue())
            .given(ID, locked("payment overdue", true))
            .then(Family {
                balance_cents: -45_000,
                overdue: Some("payment of 450.00 USD due 2024-10-01 was overdue since 2024-10-16".into()),
                portal_access: PortalAccess::Locked,
                locked_since: time("2024-10-16T06:00:00Z"),
                locked_because: Some(
                    "payment of 450.00 USD due 2024-10-01 was overdue since 2024-10-16; locked automatically on 2024-10-16".into(),
                ),
                ..family()
            });
    }

    #[test]
    fn names_who_locked_it_by_hand() {
        Spec::of::<Family>()
            .given(ID, enrolled())
            .at("2024-10-07T11:00:00Z")
            .by("sarah")
            .given(ID, locked("papers are missing", false))
            .then(Family {
                portal_access: PortalAccess::Locked,
                locked_since: time("2024-10-07T11:00:00Z"),
                locked_because: Some("papers are missing; locked by sarah on 2024-10-07".into()),
                ..family()
            });
    }

    #[test]
    fn is_let_in_again_after_the_payment() {
        Spec::of::<Family>()
            .given(ID, enrolled())
            .given(ID, due("2024-10"))
            .given(ID, overdue())
            .given(ID, locked("payment overdue", true))
            .at("2024-10-20T10:00:00Z")
            .given(ID, received())
            .given(ID, PortalAccessRestored {})
            .then(Family { paid_cents: 45_000, last_payment_at: time("2024-10-20T10:00:00Z"), ..family() });
    }

    #[test]
    fn is_enrolled_as_before_once_its_withdrawal_is_reversed() {
        let withdrawn =
            || FamilyWithdrawn { reason: "entered for another family".into(), withdrawn_on: "2024-11-05".into() };
        Spec::of::<Family>().given(ID, enrolled()).given(ID, withdrawn()).then(Family {
            status: Status::Withdrawn,
            withdrawn_on: Some("2024-11-05".into()),
            ..family()
        });
        Spec::of::<Family>()
            .given(ID, enrolled())
            .given(ID, withdrawn())
            .given(ID, FamilyWithdrawalReversed { reason: "the wrong family was withdrawn".into() })
            .then(family());
    }

    #[test]
    fn counts_its_children_and_keeps_its_contact() {
        let child = |name: &str| ChildAdded { child_name: name.into(), age: 8, grade: 3 };
        Spec::of::<Family>()
            .given(ID, enrolled())
            .given(ID, child("Sofia Martinez"))
            .given(ID, child("Mateo Martinez"))
            .given(ID, ContactUpdated { email: "maria@example.org".into(), phone: "+1-202-555-0142".into() })
            .then(Family {
                children: 2,
                email: Some("maria@example.org".into()),
                phone: Some("+1-202-555-0142".into()),
                ..family()
            });
    }

    #[test]
    fn must_have_been_enrolled() {
        Spec::of::<Family>().given(ID, received()).then_error("no `families` row at key \"family-0042\"");
    }
}
