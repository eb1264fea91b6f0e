//! What the box office has sold of each show: version 2, which tells how many of the
//! tickets were for children.

use fantascope_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event("TicketsSold")]
pub struct TicketsSold {
    pub tickets: i64,
    /// How many of them are for children.
    pub children: i64,
    pub cents: i64,
}

#[derive(Event, Serialize, Deserialize)]
#[event("TicketsReturned")]
pub struct TicketsReturned {
    pub tickets: i64,
    pub cents: i64,
}

/// All that this projection reads.
#[derive(Events)]
pub enum TicketEvent {
    Sold(TicketsSold),
    Returned(TicketsReturned),
}

/// A row of the table `shows`, keyed by the aggregate's id.
#[derive(Row)]
#[row(table = "shows")]
pub struct Show {
    #[key]
    pub show: String,
    /// Also those that were returned, so it never falls.
    pub sold: i64,
    pub children: i64,
    pub returned: i64,
    pub takings_cents: i64,
}

impl Fold for Show {
    type Event = TicketEvent;

    fn apply(row: &mut Entry<Self>, event: &TicketEvent, _: &Meta) -> Result {
        match event {
            TicketEvent::Sold(e) => {
                let show = row.get_or_put(|show| Show { show, sold: 0, children: 0, returned: 0, takings_cents: 0 });
                show.sold += e.tickets;
                show.children += e.children;
                show.takings_cents += e.cents;
            }
            TicketEvent::Returned(e) => {
                let show = row.get()?;
                show.returned += e.tickets;
                show.takings_cents -= e.cents;
            }
        }
        Ok(())
    }
}

fantascope_sdk::projection! { name = "box_office", version = 2, tables = [Show] }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_add_up() {
        Spec::of::<Show>()
            .given("show-01", TicketsSold { tickets: 3, children: 1, cents: 2_500 })
            .given("show-01", TicketsSold { tickets: 2, children: 0, cents: 2_000 })
            .given("show-01", TicketsReturned { tickets: 1, cents: 1_000 })
            .then(Show { show: "show-01".into(), sold: 5, children: 1, returned: 1, takings_cents: 3_500 });
    }

    #[test]
    fn what_was_never_sold_does_not_come_back() {
        Spec::of::<Show>()
            .given("show-01", TicketsReturned { tickets: 1, cents: 1_000 })
            .then_error("no `shows` row at key \"show-01\"");
    }
}
