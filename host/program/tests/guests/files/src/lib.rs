//! A projection that opens a file: whoever imports files is refused.

use fantascope_sdk::prelude::*;

#[derive(Row)]
#[row(table = "contents")]
pub struct Content {
    #[key]
    pub id: String,
    pub text: String,
}

impl Fold for Content {
    type Event = AnyEvent;

    fn apply(row: &mut Entry<Self>, event: &AnyEvent, _: &Meta) -> Result {
        let text = std::fs::read_to_string(event.event_type())?;
        row.put(Content { id: row.key().clone(), text });
        Ok(())
    }
}

fantascope_sdk::projection! { name = "files", version = 1, tables = [Content] }
