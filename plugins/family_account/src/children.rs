//! The table `children`: a row for each child of each family.

use fantascope_sdk::prelude::*;

use crate::events::ChildAdded;

#[derive(Row)]
#[row(table = "children", index(grade))]
pub struct Child {
    #[key]
    pub family_id: String,
    #[key]
    pub name: String,
    pub age: u32,
    pub grade: u32,
    pub added_at: Timestamp,
}

impl Fold for Child {
    type Event = ChildAdded;

    fn keys(event: &ChildAdded, meta: &Meta) -> impl Keys<(String, String)> {
        [(meta.aggregate_id().to_owned(), event.child_name.clone())]
    }

    fn apply(row: &mut Entry<Self>, event: &ChildAdded, meta: &Meta) -> Result {
        let (family_id, name) = row.key().clone();
        row.put(Child { family_id, name, age: event.age, grade: event.grade, added_at: meta.timestamp() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(name: &str) -> ChildAdded {
        ChildAdded { child_name: name.into(), age: 8, grade: 3 }
    }

    fn child(family_id: &str, name: &str) -> Child {
        Child {
            family_id: family_id.into(),
            name: name.into(),
            age: 8,
            grade: 3,
            added_at: "2024-09-01T09:00:00Z".parse().expect("a time"),
        }
    }

    #[test]
    fn tells_children_of_one_name_by_their_family() {
        Spec::of::<Child>()
            .at("2024-09-01T09:00:00Z")
            .given("family-0001", added("Sofia Kim"))
            .given("family-0001", added("Leo Kim"))
            .given("family-0002", added("Sofia Kim"))
            .then_rows([
                child("family-0001", "Sofia Kim"),
                child("family-0001", "Leo Kim"),
                child("family-0002", "Sofia Kim"),
            ]);
    }
}
