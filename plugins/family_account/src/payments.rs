//! The table `payments`: a row for each payment that fell due.

use fantascope_sdk::prelude::*;

use crate::events::PaymentEvent;

#[derive(Row)]
#[row(table = "payments", index(status, due_on))]
pub struct Payment {
    #[key]
    pub family_id: String,
    #[key]
    pub due_id: String,
    pub status: PaymentStatus,
    pub due_on: String,
    pub amount_cents: i64,
    pub currency: String,
    pub paid_cents: i64,
    pub paid_at: Option<Timestamp>,
    pub method: Option<String>,
    /// Stays when it is paid at last: it was late, and that may matter.
    pub overdue_since: Option<String>,
}

#[derive(TextEnum, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    Due,
    Overdue,
    Paid,
}

impl Fold for Payment {
    type Event = PaymentEvent;

    fn keys(event: &PaymentEvent, meta: &Meta) -> impl Keys<(String, String)> {
        let due_id = match event {
            PaymentEvent::Due(e) => &e.due_id,
            PaymentEvent::Overdue(e) => &e.due_id,
            PaymentEvent::Received(e) => &e.due_id,
        };
        [(meta.aggregate_id().to_owned(), due_id.clone())]
    }

    fn apply(row: &mut Entry<Self>, event: &PaymentEvent, meta: &Meta) -> Result {
        match event {
            PaymentEvent::Due(e) => {
                let (family_id, due_id) = row.key().clone();
                row.put(Payment {
                    family_id,
                    due_id,
                    status: PaymentStatus::Due,
                    due_on: e.due_on.clone(),
                    amount_cents: e.amount_cents,
                    currency: e.currency.clone(),
                    paid_cents: 0,
                    paid_at: None,
                    method: None,
                    overdue_since: None,
                });
            }
            PaymentEvent::Overdue(e) => {
                let payment = row.get()?;
                payment.status = PaymentStatus::Overdue;
                payment.overdue_since = Some(e.overdue_since.clone());
            }
            PaymentEvent::Received(e) => {
                let payment = row.get()?;
                payment.paid_cents += e.amount_cents;
                payment.paid_at = Some(meta.timestamp());
                payment.method = Some(e.method.clone());
                if payment.paid_cents >= payment.amount_cents {
                    payment.status = PaymentStatus::Paid;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{PaymentDue, PaymentOverdue, PaymentReceived};

    const ID: &str = "family-0042";

    fn due() -> PaymentDue {
        PaymentDue {
            due_id: "2024-10".into(),
            amount_cents: 45_000,
            currency: "USD".into(),
            due_on: "2024-10-01".into(),
        }
    }

    fn overdue() -> PaymentOverdue {
        let PaymentDue { due_id, amount_cents, currency, due_on } = due();
        PaymentOverdue { due_id, amount_cents, currency, due_on, overdue_since: "2024-10-16".into() }
    }

    fn received(amount_cents: i64) -> PaymentReceived {
        PaymentReceived { due_id: "2024-10".into(), amount_cents, method: "card".into() }
    }

    fn payment() -> Payment {
        Payment {
            family_id: ID.into(),
            due_id: "2024-10".into(),
            status: PaymentStatus::Due,
            due_on: "2024-10-01".into(),
            amount_cents: 45_000,
            currency: "USD".into(),
            paid_cents: 0,
            paid_at: None,
            method: None,
            overdue_since: None,
        }
    }

    #[test]
    fn remembers_that_it_was_late() {
        Spec::of::<Payment>()
            .given(ID, due())
            .given(ID, overdue())
            .at("2024-10-20T10:00:00Z")
            .given(ID, received(45_000))
            .then(Payment {
                status: PaymentStatus::Paid,
                paid_cents: 45_000,
                paid_at: Some("2024-10-20T10:00:00Z".parse().expect("a time")),
                method: Some("card".into()),
                overdue_since: Some("2024-10-16".into()),
                ..payment()
            });
    }

    #[test]
    fn is_due_until_all_of_it_is_paid() {
        Spec::of::<Payment>().given(ID, due()).at("2024-10-02T10:00:00Z").given(ID, received(20_000)).then(Payment {
            paid_cents: 20_000,
            paid_at: Some("2024-10-02T10:00:00Z".parse().expect("a time")),
            method: Some("card".into()),
            ..payment()
        });
    }

    #[test]
    fn must_have_been_due() {
        Spec::of::<Payment>()
            .given(ID, received(1))
            .then_error("no `payments` row at key (\"family-0042\", \"2024-10\")");
    }
}
