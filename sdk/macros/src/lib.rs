//! The derives of `fantascope-sdk`, which documents them where it exports them.

mod event;
mod events;
mod field;
mod row;
mod text_enum;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// `#[derive(Event)] #[event("OrderPlaced", v = 2)]`: one type of event.
#[proc_macro_derive(Event, attributes(event))]
pub fn event(input: TokenStream) -> TokenStream {
    expand(event::expand, parse_macro_input!(input))
}

/// `#[derive(Events)]`: an enum that is a set of events.
#[proc_macro_derive(Events, attributes(event))]
pub fn events(input: TokenStream) -> TokenStream {
    expand(events::expand, parse_macro_input!(input))
}

/// `#[derive(Row)] #[row(table = "orders", index(customer))]`: a row of a table.
#[proc_macro_derive(Row, attributes(row, key, column))]
pub fn row(input: TokenStream) -> TokenStream {
    expand(row::expand, parse_macro_input!(input))
}

/// `#[derive(TextEnum)]`: an enum that is a text column. A variant `PartlyShipped`
/// is the text `partly_shipped`, or another with `#[text("part")]`.
#[proc_macro_derive(TextEnum, attributes(text))]
pub fn text_enum(input: TokenStream) -> TokenStream {
    expand(text_enum::expand, parse_macro_input!(input))
}

fn expand(derive: fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>, input: DeriveInput) -> TokenStream {
    derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// The only attribute of a name, if there is one.
fn attribute<'a>(attributes: &'a [syn::Attribute], name: &str) -> syn::Result<Option<&'a syn::Attribute>> {
    let mut found = attributes.iter().filter(|a| a.path().is_ident(name));
    let first = found.next();
    match found.next() {
        Some(second) => Err(syn::Error::new_spanned(second, format_args!("`#[{name}]` is given twice"))),
        None => Ok(first),
    }
}

/// Fails on a type with parameters: what is stored has one shape.
fn without_generics(input: &DeriveInput, what: &str) -> syn::Result<()> {
    if input.generics.params.is_empty() {
        return Ok(());
    }
    Err(syn::Error::new_spanned(&input.generics, format_args!("{what} can't be generic: what is stored has one shape")))
}
